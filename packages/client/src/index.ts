export { describeItems, describeSize, describeSkip } from "./describe.ts";
export type { StreamEvent, StreamOptions } from "./event-stream.ts";
export { createHubClient, everyPage, type HubClient, waitForRun } from "./hub-client.ts";
export {
  type CallOptions,
  type ChangeOptions,
  type HubClientOptions,
  HubError,
} from "./request.ts";
export type { Diagnosis } from "./schemas/doctor.ts";
export type { AuditEntry, Event, Summary } from "./schemas/events.ts";
export type { ExplainRequest, Explanation, Hold, JobExplanation } from "./schemas/explain.ts";
export type {
  Approval,
  ApprovalQuery,
  DecisionRequest,
  SentSignal,
  SignalRequest,
} from "./schemas/forms/waits.ts";
export type {
  ChangedHook,
  Delivery,
  Hook,
  HookChangeRequest,
  HookRequest,
  HookRule,
  HookTargetRequest,
  ShownTarget,
} from "./schemas/hooks.ts";
export type {
  AddedJob,
  CancelledJob,
  Item,
  ItemCounts,
  ItemQuery,
  Job,
  JobQuery,
  JobSummary,
  Log,
  NewJob,
} from "./schemas/jobs.ts";
export type { Mesh } from "./schemas/mesh.ts";
export type {
  AllowedOffers,
  AllowRequest,
  Node,
  NodeKey,
  NodeVerb,
  RemovedNode,
  RevokedNodeKey,
  Steered,
  SteerRequest,
  UpgradeOrdered,
} from "./schemas/nodes.ts";
export type { Page, PageQuery } from "./schemas/page.ts";
export type { Problem } from "./schemas/problem.ts";
export type {
  BeginUploadRequest,
  CancelledRun,
  ExecRequest,
  PlannedRun,
  RerunRequest,
  RetryRequest,
  Run,
  RunFile,
  RunQuery,
  RunStep,
  RunSummary,
  StartRequest,
  StoredFile,
  Upload,
} from "./schemas/runs.ts";
export type { Schedule, ScheduleSlot, TriggerRequest } from "./schemas/schedules.ts";
export type { Strand, StrandList, StrandSummary, WorkflowProblem } from "./schemas/strands.ts";
export type {
  Joined,
  JoinToken,
  JoinTokenRequest,
  NewJoinToken,
  NewToken,
  OpenSession,
  Scope,
  Session,
  Token,
  TokenRequest,
} from "./schemas/tokens.ts";
export type { PauseRequest } from "./schemas/values.ts";
export type { PlanVerdict, StepVerdict } from "./schemas/verdict.ts";

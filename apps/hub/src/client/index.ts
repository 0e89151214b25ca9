export {
  createHubClient,
  everyPage,
  type HubClient,
  type JobQuery,
  type NewJob,
  type PageQuery,
  type RunQuery,
} from "./create-hub-client.ts";
export type { StreamEvent, StreamOptions } from "./event-source.ts";
export { eventTypes } from "./event-types.ts";
export { HubError } from "./hub-error.ts";
export type { CallOptions, ChangeOptions, HubClientOptions } from "./request.ts";
export type {
  AddedJob,
  AuditEntry,
  Diagnosis,
  Event,
  Explanation,
  Job,
  JobExplanation,
  JobSummary,
  Log,
  Mesh,
  Node,
  Page,
  PlannedRun,
  PlanVerdict,
  Problem,
  Run,
  RunSummary,
  Schedule,
  ScheduleSlot,
  Scope,
  Session,
  StepVerdict,
  Strand,
  StrandSummary,
  Token,
} from "./shapes.ts";

export type {
  AllowedOffers,
  JoinedNode,
  JoinRequest,
  JoinToken,
  NewJoinToken,
  NodeKey,
  NodeKeys,
} from "./access/node-keys.ts";
export {
  type ApiToken,
  type ApiTokens,
  digestOf,
  isNodeKeyShaped,
  isTokenShaped,
  makeNodeKey,
  makeToken,
  type NewApiToken,
  type Scope,
  scopes,
} from "./access/tokens.ts";
export type { ApiRequest, RequestRecord } from "./audit.ts";
export type { Code, SignedBundle, StoredBundle } from "./code.ts";
export {
  JobNotFoundError,
  type NameHolder,
  NodeNameInUseError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "./errors.ts";
export type { CheckpointAnswer, Checkpoints } from "./exchange/checkpoints.ts";
export type { ClaimAnswer, ClaimedJob, UnreadableClaim } from "./exchange/claims.ts";
export type { ClaimWish, ExchangeAnswer, ExchangeWishes } from "./exchange/exchange.ts";
export type { Settlement, SettlementAnswer } from "./exchange/settlements.ts";
export type { FileClaim, OpenedFile, RunFile } from "./files/files.ts";
export type {
  ConditionAnswer,
  ConditionDecision,
  Conditions,
  TakenCondition,
  WaitFacts,
} from "./forms/conditions.ts";
export type { Expanded, ItemSummary } from "./forms/maps.ts";
export {
  type Approval,
  type ApprovalDecision,
  approvalStates,
  type EndedWaits,
  type NewSignal,
  type SentSignal,
} from "./forms/waits.ts";
export {
  type EventPage,
  isCursorAfter,
  isEventCursor,
  type QueueEvent,
} from "./history/events.ts";
export type { Summary } from "./history/summary.ts";
export type {
  AttemptOutcome,
  Delivery,
  TakenDelivery,
} from "./hooks/deliveries.ts";
export type { Hook, HookSettings, HookTarget } from "./hooks/hooks.ts";
export {
  type EnqueuedJob,
  type Job,
  type JobFilter,
  type JobSummary,
  jobStates,
  type NewJob,
  type PausedWorkflow,
  type WaitingReason,
} from "./jobs.ts";
export type { DatabaseFacts, Lead, Leadership, Pruned, Reaped } from "./leadership.ts";
export type { AppendAnswer, LogChunk, LogPage } from "./logs.ts";
export { migrationNames, migrationScript, NODE_FUNCTIONS, OTHER_VERSION } from "./migrate.ts";
export type {
  Node,
  NodeDescription,
  NodeStatus,
  NodeStatusChange,
  NodeWakeAddress,
} from "./nodes.ts";
export type { JobWait, Offer, OpenJob, QueueDepth, Refusal, WaitingJob } from "./placing.ts";
export { createQueue, type Queue, queueOver } from "./queue.ts";
export { isLed, type LedRound, type Round } from "./round.ts";
export {
  type RetriedStep,
  type RetrySelection,
  type Run,
  type RunFilter,
  type RunSummary,
  runStatuses,
  runTriggers,
  type StartedRun,
  type StartRunOptions,
} from "./runs.ts";
export {
  type DecidedSlots,
  type NewSlot,
  type Schedule,
  type ScheduleDefinition,
  type ScheduleSlot,
  type Schedules,
  slotDecisions,
} from "./schedules.ts";
export type {
  HeartbeatAnswer,
  HelloAnswer,
  NodeMachine,
  NodeProfile,
  NodeReport,
  ReportAnswer,
  Session,
} from "./sessions.ts";
export type { PageOptions, Transport } from "./transport/call.ts";
export { isUnreadable, type UnreadableRow } from "./transport/rows.ts";

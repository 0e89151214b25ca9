export {
  type ApiToken,
  type ApiTokens,
  type NewApiToken,
  type Scope,
  scopes,
} from "./api-token.ts";
export { createQueue, queueOver } from "./create-queue.ts";
export type { DatabaseFacts } from "./database-facts.ts";
export {
  JobNotFoundError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "./errors.ts";
export { type EventPage, type EventType, eventTypes, type QueueEvent } from "./event.ts";
export type { HistoryOptions } from "./history/history.ts";
export type { KnownJob } from "./history/known-job.ts";
export { readHistory } from "./history/read-history.ts";
export { type RecordedCall, recordCalls } from "./history/recorded-call.ts";
export { type CallsRule, type CallsViolation, verifyCalls } from "./history/verify-calls.ts";
export {
  type HistoryRule,
  type HistoryViolation,
  verifyHistory,
} from "./history/verify-history.ts";
export type { Violation } from "./history/violation.ts";
export type { ClaimedJob, Job, WaitingReason } from "./job.ts";
export type { JobWait } from "./job-wait.ts";
export type { Lead, Leadership } from "./leadership.ts";
export {
  type JobFilter,
  type JobSummary,
  jobStates,
  type Lists,
  type PageOptions,
  type PausedWorkflow,
  type RunFilter,
  type RunSummary,
  runStatuses,
  runTriggers,
} from "./lists.ts";
export type { LogChunk, LogPage } from "./log-chunk.ts";
export { migrationNames, migrationScript } from "./migration-script.ts";
export type { EnqueuedJob, NewJob } from "./new-job.ts";
export type {
  HeartbeatAnswer,
  HelloAnswer,
  Node,
  NodeDoorbell,
  NodeOffer,
  NodeReport,
  NodeStatus,
  NodeStatusChange,
  ReportAnswer,
  Session,
} from "./node.ts";
export type { Offer, Refusal } from "./placing.ts";
export type { Queue } from "./queue.ts";
export type { QueueDepth } from "./queue-depth.ts";
export type { ApiRequest, RequestRecord } from "./request.ts";
export type { Run, StartedRun } from "./run.ts";
export type { StartRunOptions } from "./runs.ts";
export {
  type DecidedSlots,
  type NewSlot,
  type Schedule,
  type ScheduleDefinition,
  type ScheduleSlot,
  type Schedules,
  slotOutcomes,
} from "./schedule.ts";
export type { ClaimAnswer } from "./sessions.ts";
export type { Settlement, SettlementAnswer } from "./settlement.ts";
export type { Transport } from "./transport.ts";
export type { Pruned, Reaped } from "./upkeep.ts";
export type { WaitingJob } from "./waiting-job.ts";

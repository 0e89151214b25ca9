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
export { HubError } from "./hub-error.ts";
export type { CallOptions, ChangeOptions, HubClientOptions } from "./request.ts";
export type {
  AuditEntry,
  Event,
  Job,
  JobSummary,
  Log,
  Node,
  Page,
  Problem,
  Run,
  RunSummary,
  Schedule,
  ScheduleSlot,
  Scope,
  Session,
  StartedRun,
  Strand,
  StrandSummary,
  Token,
} from "./shapes.ts";

export { type HistoryOptions, type KnownJob, readHistory, type Violation } from "./history.ts";
export {
  type CallsRule,
  type CallsViolation,
  type RecordedCall,
  recordCalls,
  verifyCalls,
} from "./verify-calls.ts";
export { type HistoryRule, type HistoryViolation, verifyHistory } from "./verify-history.ts";

export { type Check, type Filter, fits } from "./filter.ts";
export { hasCapabilities } from "./filters/has-capabilities.ts";
export { hasFreeSlot } from "./filters/has-free-slot.ts";
export { isHost } from "./filters/is-host.ts";
export { isOnline } from "./filters/is-online.ts";
export { notDraining } from "./filters/not-draining.ts";
export { notPaused } from "./filters/not-paused.ts";
export {
  type BatchItem,
  type BatchPlacement,
  createMatcher,
  defaultFilters,
  defaultScorers,
  type Matcher,
  type MatcherOptions,
  place,
  placeAll,
} from "./matcher.ts";
export { capabilitiesOf, type NodeView, nodeCapability, workflowCapability } from "./node-view.ts";
export type {
  Failure,
  Placed,
  Placement,
  Refusal,
  RefusalCode,
  Rejection,
} from "./placement.ts";
export { PlanError, planRun } from "./plan-run.ts";
export { type Clause, InvalidClauseError, parseClause } from "./requirement/clause.ts";
export { evaluate, unmetClauses } from "./requirement/evaluate.ts";
export {
  type DecidedSlot,
  decideSlots,
  type ScheduleState,
  type SlotOutcome,
} from "./schedule/decide-slots.ts";
export { dueSlots, nextSlot, slotId, type Timing } from "./schedule/due-slots.ts";
export type { Scorer } from "./scorer.ts";
export { leastBusy } from "./scorers/least-busy.ts";
export { prefers } from "./scorers/prefers.ts";
export type { StepView } from "./step-view.ts";

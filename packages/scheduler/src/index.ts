export { type Clause, InvalidClauseError, parseClause, printClause } from "@loom/workflow";
export { explain } from "./explain.ts";
export type {
  Explanation,
  Fix,
  NodeGroup,
  NodeReport,
  NodeVerdict,
  ReasonCode,
} from "./explanation.ts";
export { belowLimit } from "./filters/below-limit.ts";
export { hasCapabilities } from "./filters/has-capabilities.ts";
export { hasFreeSlot } from "./filters/has-free-slot.ts";
export { hasVersion } from "./filters/has-version.ts";
export { isHost } from "./filters/is-host.ts";
export { isOnline } from "./filters/is-online.ts";
export { notDraining } from "./filters/not-draining.ts";
export { notExcluded } from "./filters/not-excluded.ts";
export { notPaused } from "./filters/not-paused.ts";
export type { JobView, StepHistory } from "./job-view.ts";
export { type NodeView, nodeCapability, workflowCapability } from "./node-view.ts";
export type { BatchJob } from "./place/in-fair-order.ts";
export { type PlaceOptions, place } from "./place/place.ts";
export type { Placed, Placement, PlacementRecord, Refusal, Unplaced } from "./placement.ts";
export { PlanError, planRun } from "./plan-run.ts";
export { evaluate, type Offer, unmetClauses } from "./requirement/evaluate.ts";
export {
  type Check,
  type Filter,
  fits,
  type Mend,
  type Problem,
  refuses,
  type Scorer,
} from "./rule.ts";
export { defaultRules, type Failure, judge, type Rules } from "./rules.ts";
export {
  type DecidedSlot,
  decideSlots,
  type ScheduleState,
  type SlotOutcome,
} from "./schedule/decide-slots.ts";
export { dueSlots, nextSlot, slotId, type Timing } from "./schedule/due-slots.ts";
export { directPath } from "./scorers/direct-path.ts";
export { leastBusy } from "./scorers/least-busy.ts";
export { nearRun } from "./scorers/near-run.ts";
export { notDeclined } from "./scorers/not-declined.ts";
export { prefers } from "./scorers/prefers.ts";
export { succeededHere } from "./scorers/succeeded-here.ts";
export { suggestNames } from "./suggest-names.ts";
export { type Verdict, verdict } from "./verdict.ts";

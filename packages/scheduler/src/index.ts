export { type Clause, InvalidClauseError, parseClause, printClause } from "@loom/workflow";
export {
  ConditionError,
  evaluateStep,
  parseApprovalInput,
  type StepEvaluation,
  type StepFacts,
  type StepFunction,
} from "./evaluate-condition.ts";
export type { ReasonCode } from "./explain/diagnose.ts";
export {
  type Explanation,
  explain,
  type NodeExplanation,
  type NodeGroupExplanation,
} from "./explain/explain.ts";
export type { Fix } from "./explain/find-fix.ts";
export type { Eligibility } from "./explain/node-groups.ts";
export { type Verdict, verdict } from "./explain/verdict.ts";
export type { BatchJob } from "./place/fair-order.ts";
export {
  type Placed,
  type Placement,
  type PlacementRecord,
  type PlaceOptions,
  place,
  type Refusal,
  type Unplaced,
} from "./place/place.ts";
export { type PlanCall, PlanError, planRun } from "./plan-run.ts";
export { evaluate, type NodeCapabilities, unmetClauses } from "./requirement/evaluate.ts";
export { hasCapabilities, hasVersion, isHost, notExcluded } from "./rules/ability-filters.ts";
export {
  belowLimit,
  hasFreeSlot,
  isOnline,
  notDraining,
  notPaused,
} from "./rules/availability-filters.ts";
export { defaultRules } from "./rules/default-rules.ts";
export {
  applyFilters,
  type Failure,
  type Filter,
  type FilterFailure,
  type FilterFix,
  type FilterResult,
  fits,
  type Rules,
  refuses,
  type Scorer,
} from "./rules/rule.ts";
export {
  directPath,
  leastBusy,
  nearRun,
  notDeclined,
  prefers,
  succeededHere,
} from "./rules/scorers.ts";
export {
  type DecidedSlot,
  decideSlots,
  type ScheduleState,
  type SlotDecision,
} from "./schedule/decide-slots.ts";
export { dueSlots, nextSlot, slotId, type Timing } from "./schedule/due-slots.ts";
export {
  CODE_CAPABILITY,
  HUB_CAPABILITY,
  type JobView,
  moduleCapability,
  type NodeView,
  nodeCapability,
  parseWorkflowCapability,
  type StepHistory,
  workflowCapability,
} from "./views.ts";

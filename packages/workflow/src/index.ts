export { type Concurrency, checkConcurrency } from "./concurrency.ts";
export { checkHost } from "./define-step.ts";
export { defineWorkflow, type NoInput, type WorkflowDefinition } from "./define-workflow.ts";
export { describeIssue } from "./describe-issue.ts";
export { type Duration, InvalidDurationError, parseDuration } from "./duration.ts";
export {
  type InputIssue,
  InvalidInputError,
  NonRetryableError,
  RetryAfterError,
  WorkflowDefinitionError,
} from "./errors.ts";
export {
  areSeparate,
  commandOf,
  EXEC_CAPABILITY,
  EXEC_WORKFLOW,
  type ExecCommand,
  type ExecStep,
  execSteps,
  lengthsOf,
  outputNameOf,
  type SweepVariable,
  sizeOf,
  sweptAt,
} from "./exec/command.ts";
export {
  type FileContent,
  type FileRef,
  isFileRef,
  problemOfFileName,
  problemOfPath,
  type StepFiles,
  unfinishedNameOf,
} from "./files/step-files.ts";
export type { ItemContext, MapOptions } from "./forms/map.ts";
export { type ItemResult, keyOfItem, type MapPolicy, type Tolerance } from "./forms/map-policy.ts";
export {
  fateOf,
  type Outcome,
  outcomeOf,
  type SkipReason,
  type StepEnd,
} from "./forms/skipping.ts";
export type {
  ApprovalOptions,
  Approved,
  SignalOptions,
  SleepOptions,
  WaitOptions,
} from "./forms/wait.ts";
export {
  type Computed,
  checkKey,
  isComputedWait,
  type PlannedWait,
  planWait,
  toInstant,
  type WaitPolicy,
} from "./forms/wait-policy.ts";
export { findNonJson, type JsonValue } from "./json.ts";
export { lengthOf, limits } from "./limits.ts";
export {
  type ComputedOption,
  type StepManifest,
  toManifest,
  type WorkflowManifest,
} from "./manifest.ts";
export type { Notify, NotifyPolicy } from "./notify/notify.ts";
export { checkPreferences, type Preference } from "./preference.ts";
export {
  type Clause,
  InvalidClauseError,
  type Operator,
  printClause,
  type Term,
  type Test,
} from "./requirement/clause.ts";
export { areVersions, compareValues, isMetBy, isOrdered } from "./requirement/compare-values.ts";
export { findContradiction, MACHINE_KEYS } from "./requirement/find-contradiction.ts";
export type { Fleet, NodeName, RequirementClause, WorkflowName } from "./requirement/fleet.ts";
export { parseClause } from "./requirement/parse-clause.ts";
export type { BackoffOptions, RetryOptions, RetryPolicy } from "./retry.ts";
export type { PlannedJob, RunPlan } from "./run-plan.ts";
export { type CronPattern, InvalidScheduleError, parseCron } from "./schedule/cron-pattern.ts";
export type { Retention, RetentionPolicy } from "./schedule/retention.ts";
export {
  type CronOptions,
  cron,
  type MissedPolicy,
  type OverlapPolicy,
  type Schedule,
} from "./schedule/schedule.ts";
export type {
  ConcurrencyFunction,
  Condition,
  ConditionContext,
  Exec,
  ExecOptions,
  ExecResult,
  HostFunction,
  LogMethod,
  PlanContext,
  PrefersFunction,
  RunsAfter,
  Step,
  StepContext,
  StepLog,
  StepOptions,
  StepReturn,
} from "./step.ts";
export {
  type AnyWorkflow,
  type InputSchema,
  parseInput,
  parseWith,
  type Workflow,
  type WorkflowInput,
} from "./workflow.ts";

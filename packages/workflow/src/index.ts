export { type Concurrency, checkConcurrency } from "./concurrency.ts";
export { type CronPattern, InvalidScheduleError, parseCron } from "./cron-pattern.ts";
export { checkHost } from "./define-step.ts";
export { defineWorkflow, type NoInput, type WorkflowDefinition } from "./define-workflow.ts";
export { type Duration, InvalidDurationError, parseDuration } from "./duration.ts";
export {
  type InputIssue,
  InvalidInputError,
  NonRetryableError,
  RetryAfterError,
  WorkflowDefinitionError,
} from "./errors.ts";
export type { Exec, ExecOptions, ExecResult } from "./exec.ts";
export type { JsonValue } from "./json.ts";
export { parseInput } from "./parse-input.ts";
export { checkPreferences, type Preference } from "./preference.ts";
export {
  type Clause,
  InvalidClauseError,
  type Operator,
  type Term,
  type Test,
} from "./requirement/clause.ts";
export { compareValues } from "./requirement/compare-values.ts";
export { parseClause } from "./requirement/parse-clause.ts";
export { printClause } from "./requirement/print-clause.ts";
export type { BackoffOptions, RetryOptions, RetryPolicy } from "./retry.ts";
export type { PlannedJob, RunPlan } from "./run-plan.ts";
export {
  type CronOptions,
  cron,
  type MissedPolicy,
  type OverlapPolicy,
  type Schedule,
} from "./schedule.ts";
export type {
  ConcurrencyFunction,
  HostFunction,
  LogMethod,
  PlanContext,
  PrefersFunction,
  Step,
  StepContext,
  StepLog,
  StepOptions,
  StepReturn,
} from "./step.ts";
export type { AnyWorkflow, InputSchema, Workflow, WorkflowInput } from "./workflow.ts";

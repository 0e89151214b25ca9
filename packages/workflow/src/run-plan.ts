import type { Concurrency } from "./concurrency.ts";
import type { JsonValue } from "./json.ts";
import type { Preference } from "./preference.ts";
import type { RetryPolicy } from "./retry.ts";

/** The jobs of one run, as a value: made by the scheduler, stored by the queue. */
export interface RunPlan {
  readonly workflow: string;
  readonly version: string;
  /** Parsed: defaults filled in. */
  readonly input: JsonValue;
  /** In the order of definition, in which every job comes after those it waits for. */
  readonly jobs: readonly PlannedJob[];
}

/** One step of a run that has not been stored yet. */
export interface PlannedJob {
  readonly step: string;
  readonly after: readonly string[];
  /** Those of the workflow and of the step, sorted, each once. */
  readonly requires: readonly string[];
  /** The node it is pinned to. */
  readonly host: string | null;
  readonly prefers: readonly Preference[];
  readonly priority: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly maxCrashRestarts: number;
  readonly startWithinMs: number | null;
  readonly concurrency: Concurrency | null;
}

import type { Concurrency } from "./concurrency.ts";
import type { MapPolicy } from "./forms/map-policy.ts";
import type { PlannedWait } from "./forms/wait-policy.ts";
import type { JsonValue } from "./json.ts";
import type { Preference } from "./preference.ts";
import type { RetryPolicy } from "./retry.ts";
import type { RunsAfter } from "./step.ts";

/** The jobs of one run, as a value that the scheduler makes and the queue stores. */
export interface RunPlan {
  readonly workflow: string;
  readonly version: string;
  /** The parsed input, with defaults filled in. */
  readonly input: JsonValue;
  /**
   * The input as the caller sent it. A rerun parses it again with the schema of that time. Default:
   * `input`.
   */
  readonly rawInput?: JsonValue;
  /** In the order of definition, so every job comes after the jobs that it needs. */
  readonly jobs: readonly PlannedJob[];
}

/** One step of a run that has not been stored yet. */
export interface PlannedJob {
  readonly step: string;
  readonly after: readonly string[];
  /** The requirements of the workflow and of the step, sorted and without duplicates. */
  readonly requires: readonly string[];
  /** The node that it is pinned to. */
  readonly host: string | null;
  readonly prefers: readonly Preference[];
  readonly priority: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly maxCrashRestarts: number;
  readonly startWithinMs: number | null;
  readonly concurrency: Concurrency | null;
  readonly runsAfter: RunsAfter;
  readonly optional: boolean;
  readonly skip: "pass" | "cascade";
  /** Whether a function of its author decides if it runs, or what it waits for. */
  readonly hasCondition: boolean;
  /** Of a step that has a job for each item of a list. */
  readonly map?: MapPolicy;
  /** Of a step that no node runs. */
  readonly wait?: PlannedWait;
}

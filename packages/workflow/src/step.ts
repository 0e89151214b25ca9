import type { Concurrency } from "./concurrency.ts";
import type { Duration } from "./duration.ts";
import type { Exec } from "./exec.ts";
import type { JsonValue } from "./json.ts";
import type { Preference } from "./preference.ts";
import type { RetryOptions, RetryPolicy } from "./retry.ts";

/** One unit of work of a workflow, with nothing left to default. */
export interface Step {
  readonly name: string;
  /** Earlier steps that have to succeed first. */
  readonly after: readonly string[];
  /** What this step requires; those of its workflow come on top. */
  readonly requires: readonly string[];
  /** The node that has to run it; `null` lets the scheduler choose. */
  readonly host: string | HostFunction | null;
  /** The node that should run it if it can. */
  readonly hostHint: string | HostFunction | null;
  readonly prefers: readonly Preference[] | PrefersFunction;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** How often it may be lost with its node; that spends no attempt. */
  readonly maxCrashRestarts: number;
  /** How long after it is ready it is still worth starting; `null`: however late. */
  readonly startWithinMs: number | null;
  /** What it may not do at the same time as others; `null`: nothing. */
  readonly concurrency: Concurrency | ConcurrencyFunction | null;
  /** Lower goes first. */
  readonly priority: number;
  readonly run: (context: StepContext) => Promise<StepReturn>;
}

/** What a run function may return; nothing counts as `null`. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async function without a return has this type
export type StepReturn = JsonValue | void;

/** What is known when a run is planned, before any of its steps has run. */
export interface PlanContext<Input = JsonValue> {
  readonly input: Input;
}

/** Chooses a node from the input; `undefined` names none. */
export type HostFunction<Input = JsonValue> = (context: PlanContext<Input>) => string | undefined;

/** Chooses the preferences from the input. */
export type PrefersFunction<Input = JsonValue> = (
  context: PlanContext<Input>,
) => readonly Preference[];

/** Chooses the key from the input; `undefined` limits nothing. */
export type ConcurrencyFunction<Input = JsonValue> = (
  context: PlanContext<Input>,
) => Concurrency | undefined;

/** How a step author describes a step. */
export interface StepOptions<After extends string = string, Input = JsonValue> {
  /** Earlier steps whose success this one waits for, and whose results it reads. */
  readonly after?: readonly After[];
  /** Clauses that a node has to meet, such as `"docker"` or `"gpu.vram-gb>=24"`. */
  readonly requires?: readonly string[];
  /** Pins the step to one node by name. */
  readonly host?: string | HostFunction<Input>;
  /** Prefers one node by name, above everything in `prefers`. */
  readonly hostHint?: string | HostFunction<Input>;
  /** Clauses that a node should meet if there is a choice. */
  readonly prefers?: readonly Preference[] | PrefersFunction<Input>;
  /** Of one attempt. Default `"10m"`, at most `"24d"`. */
  readonly timeout?: Duration;
  /** Default: one attempt. Ask for more once the step is harmless to repeat. */
  readonly retry?: RetryOptions;
  /** 0 to 100: how often it may be lost with its node before it fails. Default 3. */
  readonly maxCrashRestarts?: number;
  /** Fails with `EXPIRED` when it was not started this long after it was ready; at most `"24d"`. */
  readonly startWithin?: Duration;
  /** Keeps steps that must not run side by side apart. */
  readonly concurrency?: Concurrency | ConcurrencyFunction<Input>;
  /** 0 to 1000, lower goes first. Default 100. */
  readonly priority?: number;
}

/** What a run function is given. */
export interface StepContext<Input = JsonValue, Results = Readonly<Record<string, JsonValue>>> {
  readonly input: Input;
  /** Results of the steps in `after`, by step name. */
  readonly results: Results;
  /**
   * Aborts on timeout, cancellation, shutdown and a lost lease; its reason has the `code` that says which.
   * A step that goes on is ended with all its processes.
   */
  readonly signal: AbortSignal;
  /** Writes to the log of this attempt. */
  readonly log: StepLog;
  /** Tells how far the step is, from 0 to 1, and what it is at; also a line in its log. */
  readonly progress: (fraction: number, note?: string) => void;
  readonly exec: Exec;
  /** Counts from 1. */
  readonly attempt: number;
  /** The node this attempt runs on. */
  readonly node: string;
  /** `null` for a job that was added on its own. */
  readonly run: { readonly id: string | null };
  readonly step: string;
  readonly workflow: string;
  /**
   * The trace that this attempt is a part of, for requests that the step makes; null where nobody traces.
   * Programs find it as the variable `TRACEPARENT`. See https://www.w3.org/TR/trace-context
   */
  readonly traceparent: string | null;
}

/** The part of a pino logger that steps use. */
export interface StepLog {
  debug: LogMethod;
  info: LogMethod;
  warn: LogMethod;
  error: LogMethod;
}

/** Writes one line: facts and a constant message, or a message alone. */
export interface LogMethod {
  (facts: object, message?: string): void;
  (message: string): void;
}

import type { z } from "zod";
import type { Concurrency } from "./concurrency.ts";
import type { Duration } from "./duration.ts";
import type { StepFiles } from "./files/step-files.ts";
import type { MapPolicy } from "./forms/map-policy.ts";
import type { WaitPolicy } from "./forms/wait-policy.ts";
import type { JsonValue } from "./json.ts";
import type { Preference } from "./preference.ts";
import type { NodeName, RequirementClause } from "./requirement/fleet.ts";
import type { RetryOptions, RetryPolicy } from "./retry.ts";

/** One unit of work of a workflow, with all defaults filled in. */
export interface Step {
  readonly name: string;
  /** Earlier steps that must end first; `runsAfter` says how. */
  readonly after: readonly string[];
  /** The requirements of this step, without those of its workflow. */
  readonly requires: readonly string[];
  /** The node that must run it; `null` lets the scheduler choose. */
  readonly host: string | HostFunction | null;
  /** The node that should run it if it can. */
  readonly hostHint: string | HostFunction | null;
  readonly prefers: readonly Preference[] | PrefersFunction;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** How often it may be lost with its node. Such a loss spends no attempt. */
  readonly maxCrashRestarts: number;
  /** How long it is worth starting after it becomes ready; `null`: without a limit. */
  readonly startWithinMs: number | null;
  /** The limit of jobs that run at the same time; `null`: no limit. */
  readonly concurrency: Concurrency | ConcurrencyFunction | null;
  /** The lowest goes first. */
  readonly priority: number;
  readonly runsAfter: RunsAfter;
  /** Whether its failure passes: the steps after it run, and the run can succeed. */
  readonly optional: boolean;
  /** What becomes of the steps after it when it is skipped without a failure. */
  readonly skip: "pass" | "cascade";
  /** Decides whether it runs, once `runsAfter` lets it; null: it does. */
  readonly when: Condition | null;
  /** What a checkpoint is; `null`: any JSON. */
  readonly checkpoint: z.ZodType | null;
  /** How it maps over a list; `null` for a step with one job. */
  readonly map: MapPolicy | null;
  /** What it waits for, where no node runs it; `null` for every other step. */
  readonly wait: WaitPolicy | null;
  readonly run: (context: StepContext) => Promise<StepReturn>;
}

/**
 * How the steps in `after` must have ended for a step to run: `success`, none of them failed; `failure`, at least one
 * did; `always`, it does not matter.
 */
export type RunsAfter = "success" | "failure" | "always";

/** The value that a run function may return; no value counts as `null`. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async function without a return has this type
export type StepReturn = JsonValue | void;

/** The facts that are known when a run is planned, before any of its steps has run. */
export interface PlanContext<Input = JsonValue> {
  readonly input: Input;
}

/** Chooses a node from the input; `undefined` chooses none. */
export type HostFunction<Input = JsonValue> = (context: PlanContext<Input>) => string | undefined;

/** Chooses the preferences from the input. */
export type PrefersFunction<Input = JsonValue> = (
  context: PlanContext<Input>,
) => readonly Preference[];

/** Chooses the limit from the input; `undefined` sets no limit. */
export type ConcurrencyFunction<Input = JsonValue> = (
  context: PlanContext<Input>,
) => Concurrency | undefined;

/** The facts that are known when the steps in `after` have ended. */
export interface ConditionContext<
  Input = JsonValue,
  Results = Readonly<Record<string, JsonValue | undefined>>,
> {
  readonly input: Input;
  /** The results of the steps in `after`, by step name; undefined of one that has none. */
  readonly results: Results;
}

/** Decides from the input and the results so far whether a step runs. It may be called more than once. */
export type Condition<
  Input = JsonValue,
  Results = Readonly<Record<string, JsonValue | undefined>>,
  Guard extends boolean = boolean,
> = (context: ConditionContext<Input, Results>) => Guard;

/** The options of a step. */
export interface StepOptions<
  After extends string = string,
  Input = JsonValue,
  Rule extends RunsAfter = RunsAfter,
  Optional extends boolean = boolean,
  Skip extends "pass" | "cascade" = "pass" | "cascade",
  Guard extends boolean = boolean,
  Results = Readonly<Record<string, JsonValue | undefined>>,
  Kept extends z.ZodType = z.ZodType,
> {
  /** Earlier steps that must end first, and whose results this step reads. */
  readonly after?: readonly After[];
  /**
   * How those must have ended. `failure` is for compensation: the step is skipped when none of them failed. `always`
   * is for clean-up. Default `success`.
   */
  readonly runsAfter?: Rule;
  /**
   * Decides whether the step runs, once `runsAfter` lets it. False skips it. Evaluated by the hub within 1 s; if it
   * throws, the step fails with `CONDITION_FAILED`.
   */
  readonly when?: Condition<Input, Results, Guard>;
  /** Lets its failure pass: the steps after it run without its result, and the run can succeed. Default false. */
  readonly optional?: Optional;
  /**
   * What becomes of the steps after it when it is skipped without a failure. `pass`: they run without its result.
   * `cascade`: they are skipped too. Default `pass`.
   */
  readonly skip?: Skip;
  /** Clauses that a node must meet, such as `"docker"` or `"gpu.vram-gb>=24"`. */
  readonly requires?: readonly RequirementClause[];
  /** Pins the step to one node by name. */
  readonly host?: NodeName | HostFunction<Input>;
  /** Prefers one node by name, above everything in `prefers`. */
  readonly hostHint?: NodeName | HostFunction<Input>;
  /** Clauses that a node should meet if there is a choice. */
  readonly prefers?: readonly Preference[] | PrefersFunction<Input>;
  /** The timeout of one attempt. Default `"10m"`, at most `"24d"`. */
  readonly timeout?: Duration;
  /** Default: one attempt. Allow more if the step is harmless to repeat. */
  readonly retry?: RetryOptions;
  /** 0 to 100: how often it may be lost with its node before it fails. Default 3. */
  readonly maxCrashRestarts?: number;
  /**
   * The step fails with `EXPIRED` when it has not started this long after it became ready; at most
   * `"24d"`.
   */
  readonly startWithin?: Duration;
  /** Limits how many steps with one key run at the same time. */
  readonly concurrency?: Concurrency | ConcurrencyFunction<Input>;
  /** 0 to 1000; the lowest goes first. Default 100. */
  readonly priority?: number;
  /**
   * The schema of what `checkpoint` keeps, whose output is JSON. It types `checkpoint` and `checkpointed`, and a
   * checkpoint that does not fit, such as one of an older version of the step, is not used. Default: any JSON.
   */
  readonly checkpoint?: Kept;
}

/** The argument of a run function. */
export interface StepContext<
  Input = JsonValue,
  Results = Readonly<Record<string, JsonValue>>,
  Kept = JsonValue,
> {
  readonly input: Input;
  /** The results of the steps in `after`, by step name; undefined of one that has none. */
  readonly results: Results;
  /**
   * Aborts on timeout, cancellation, shutdown and a lost lease; the `code` of its reason
   * distinguishes them. A step that goes on is ended with all its processes.
   */
  readonly signal: AbortSignal;
  /** Writes to the log of this attempt. */
  readonly log: StepLog;
  /**
   * Reports the step's progress, from 0 to 1, with an optional note. It also writes a line to the
   * log.
   */
  readonly progress: (fraction: number, note?: string) => void;
  /**
   * Keeps a value for the next attempt, wherever that runs, in place of the one before: at most 256 KiB as JSON. Only the
   * latest is kept, and stored at most five times a second.
   *
   * @returns A promise that resolves when the database has this value or a later one. A loop need not wait for it. It
   *   fails with code `CHECKPOINT_REFUSED` when the attempt is over, and with the reason of the signal.
   * @throws An error of code `INVALID_CHECKPOINT` for a value that is not JSON or too large, which fails the step for good.
   */
  checkpoint(value: Kept): Promise<void>;
  /** What the last attempt kept with `checkpoint`; undefined if there is nothing. */
  readonly checkpointed: Kept | undefined;
  readonly exec: Exec;
  /** Files that steps pass on, whichever machines run them. */
  readonly files: StepFiles;
  /** Counts from 1. */
  readonly attempt: number;
  /** The node that runs this attempt. */
  readonly node: string;
  /** `null` for a single job without a run. */
  readonly run: { readonly id: string | null };
  readonly step: string;
  readonly workflow: string;
  /**
   * The trace of this attempt, for requests that the step makes; null without tracing. Programs get
   * it in the variable `TRACEPARENT`. See https://www.w3.org/TR/trace-context
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

/** Writes one line: facts and a constant message, or only a message. */
export interface LogMethod {
  (facts: object, message?: string): void;
  (message: string): void;
}

/** The options of a command. */
export interface ExecOptions {
  /** The working directory. Default: the step's own. */
  readonly cwd?: string;
  /** Variables to add to the step's environment; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The text on its standard input. Default: empty. */
  readonly input?: string;
  /** Ends the command. The step's own signal does so too. */
  readonly signal?: AbortSignal;
}

/** The output of a command that succeeded. */
export interface ExecResult {
  /** The last 1 MiB. */
  readonly stdout: string;
  /** The last 64 KiB. */
  readonly stderr: string;
  /**
   * Whether stdout or stderr was longer. The step's log has the rest and says how much is missing
   * here.
   */
  readonly truncated: boolean;
}

/**
 * Runs a command, without a shell, in a process group of its own. What it writes goes to the step's log.
 *
 * When it has ended, so has its group: what it left in the background is sent SIGTERM and, 3 s later,
 * SIGKILL. The same ends a command when the signal aborts.
 *
 * @throws An error of code `COMMAND_FAILED` with `exitCode` and `signal`, and the end of what it wrote in
 *   the message; of code `COMMAND_NOT_STARTED` when there is no such program; the reason of the signal.
 */
export type Exec = (
  argv: readonly [program: string, ...args: string[]],
  options?: ExecOptions,
) => Promise<ExecResult>;

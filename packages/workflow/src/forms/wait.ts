import { type Duration, parseDuration } from "../duration.ts";
import type { JsonValue } from "../json.ts";
import { lengthOf, limits } from "../limits.ts";
import type { RunsAfter, StepOptions } from "../step.ts";
import {
  type AnyResults,
  type Computed,
  checkKey,
  defaultInput,
  type Schema,
  toInstant,
  type WaitPolicy,
} from "./wait-policy.ts";

/** The options that every step has that no node runs. */
export type WaitOptions<
  After extends string = string,
  Input = JsonValue,
  Rule extends RunsAfter = RunsAfter,
  Optional extends boolean = boolean,
  Skip extends "pass" | "cascade" = "pass" | "cascade",
  Guard extends boolean = boolean,
  Results = AnyResults,
> = Pick<
  StepOptions<After, Input, Rule, Optional, Skip, Guard, Results>,
  "after" | "runsAfter" | "when" | "optional" | "skip"
>;

/** How long a step sleeps. */
export type SleepOptions<Input = JsonValue, Results = AnyResults> =
  /** For how long, from the end of the steps in `after`; at most `"365d"`. */
  | { readonly for: Duration; readonly until?: never }
  /** Until when: a time, or a text of ISO 8601 with its offset. One that has passed ends the sleep at once. */
  | {
      readonly until: string | Date | Computed<string | Date, Input, Results>;
      readonly for?: never;
    };

/** Which signal a step waits for. */
export interface SignalOptions<
  Input = JsonValue,
  Results = AnyResults,
  Payload extends Schema = Schema,
> {
  /** What happens: 1 to 100 of `a-z`, `0-9`, dot, underscore and hyphen. */
  readonly event: string;
  /** What it happens to. The step gets only signals with this key; without one, only those that have none. */
  readonly key?: string | Computed<string, Input, Results>;
  /** The data of the signal; what it makes of that is the step's result. If it refuses, the step fails with `SIGNAL_INVALID`. */
  readonly schema?: Payload;
  /** The step fails with `SIGNAL_TIMED_OUT` after so long; at most `"365d"`. Default: it waits without an end. */
  readonly timeout?: Duration;
}

/** What a person is asked. */
export interface ApprovalOptions<
  Input = JsonValue,
  Results = AnyResults,
  Given extends Schema = Schema,
> {
  /** The question, in a line of at most 200 characters. */
  readonly title: string;
  /** What the person is shown beside it, as JSON of at most 64 KiB. A decision is about this and nothing else. */
  readonly show?: Computed<JsonValue, Input, Results>;
  /** The names of tokens, or logins and tags of the tailnet, that may decide. Default: everybody who may run the workflow. */
  readonly who?: readonly string[];
  /** What the person types in beside the decision. */
  readonly input?: Given;
  /** How long the person has; at most `"365d"`. Default: without an end. */
  readonly timeout?: Duration;
  /**
   * What happens then. `fail`: the step fails with `APPROVAL_TIMED_OUT`. `approve`: it succeeds, with what the schema
   * makes of the input `{}`. Default `fail`.
   */
  readonly onTimeout?: "fail" | "approve";
}

/** The result of an approval. */
export interface Approved<Given = null> {
  /** Who approved; null when the time ran out. */
  readonly by: string | null;
  readonly note: string | null;
  readonly input: Given;
  /** As an ISO 8601 time. */
  readonly at: string;
}

/** Checks for how long or until when a step sleeps. @throws RangeError, InvalidDurationError */
export function toSleep(options: SleepOptions): WaitPolicy {
  const { for: length, until } = options;
  if ((length === undefined) === (until === undefined)) {
    throw new RangeError("a sleep has either for or until");
  }
  if (length !== undefined) return { kind: "sleep", forMs: waitMs("for", length) };
  if (typeof until === "function") return { kind: "sleep", until };
  return { kind: "sleep", until: toInstant("until", until) };
}

/** Checks which signal a step waits for. @throws RangeError, InvalidDurationError */
export function toSignal({ event, key, schema, timeout }: SignalOptions): WaitPolicy {
  if (typeof event !== "string" || !EVENT.test(event)) {
    throw new RangeError(
      `event ${JSON.stringify(event)} is not a name; use 1 to 100 of a-z, 0-9, ".", "_" and "-", starting with a letter or digit`,
    );
  }
  if (typeof key === "string") checkKey(key);
  return {
    kind: "signal",
    event,
    key: key ?? null,
    schema: schema ?? null,
    timeoutMs: timeout === undefined ? null : waitMs("timeout", timeout),
  };
}

/** Checks what a person is asked. @throws RangeError, InvalidDurationError */
export function toApproval(options: ApprovalOptions): WaitPolicy {
  const { title, show, who = [], input, timeout, onTimeout = "fail" } = options;
  if (typeof title !== "string" || !/^[^\p{C}]+$/u.test(title)) {
    throw new RangeError("title is a line of text: what the person decides");
  }
  if (lengthOf(title) > limits.titleLength) {
    throw new RangeError(
      `title has at most ${limits.titleLength} characters: put the rest into show`,
    );
  }
  if (show !== undefined && typeof show !== "function") {
    throw new RangeError("show is a function: ({ input, results }) => …");
  }
  const isName = (name: unknown) =>
    typeof name === "string" && /^[^\p{C}]+$/u.test(name) && lengthOf(name) <= 300;
  if (!Array.isArray(who) || who.length > limits.approvers || !who.every(isName)) {
    throw new RangeError(
      `who is a list of at most ${limits.approvers} names of tokens or tailnet identities`,
    );
  }
  if (onTimeout !== "fail" && onTimeout !== "approve") {
    throw new RangeError('onTimeout is "fail" or "approve"');
  }
  if (onTimeout === "approve" && timeout === undefined) {
    throw new RangeError("onTimeout has no effect without a timeout: add one, or remove it");
  }
  const wait: WaitPolicy = {
    kind: "approval",
    title,
    show: show ?? null,
    who: [...who],
    input: input ?? null,
    timeoutMs: timeout === undefined ? null : waitMs("timeout", timeout),
    onTimeout,
  };
  if (onTimeout === "approve") defaultInput(wait);
  return wait;
}

const EVENT = /^[a-z0-9][a-z0-9._-]{0,99}$/;

function waitMs(option: string, duration: Duration): number {
  const ms = parseDuration(duration);
  if (ms < 1 || ms > limits.waitMs) {
    throw new RangeError(
      `${option} must be above 0 and at most "365d", not ${JSON.stringify(duration)}`,
    );
  }
  return ms;
}

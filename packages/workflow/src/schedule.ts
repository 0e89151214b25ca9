import { parseCron } from "./cron-pattern.ts";
import { type Duration, positiveMs } from "./duration.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import type { JsonValue } from "./json.ts";

const OVERLAP_POLICIES = ["skip", "queue-one", "allow"] as const;
const MAX_CAUGHT_UP = 100;

/**
 * What becomes of a due run while an earlier one of the schedule has not finished: it is left out,
 * or waits for its end (at most one does; later ones are merged into it), or starts beside it.
 */
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/**
 * What becomes of runs that nobody started in time, because every hub was away: none of them is
 * made up for, or one run stands for all, or the newest of them are, at most `all` (1 to 100).
 */
export type MissedPolicy = "skip" | "once" | { readonly all: number };

/** When a workflow starts by itself, and with which input: a value with nothing left to default. */
export interface Schedule {
  /** Five fields, six with seconds in front, or a nickname such as `@daily`. */
  readonly expression: string;
  /** An IANA name such as `Europe/Paris`. */
  readonly timeZone: string;
  readonly input: JsonValue;
  readonly overlap: OverlapPolicy;
  readonly missed: MissedPolicy;
  /** How long after its time a run still counts as in time, in milliseconds. */
  readonly graceMs: number;
}

/** What `cron()` takes besides the expression. */
export interface CronOptions {
  /** Default `"UTC"`: machines of one mesh rarely agree on a local zone. */
  readonly timeZone?: string;
  /** Default `{}`; `defineWorkflow` checks that it fits the workflow's schema. */
  readonly input?: JsonValue;
  /** Default `"skip"`. */
  readonly overlap?: OverlapPolicy;
  /** Default `"once"`: machines of one's own sleep, and the nightly backup is wanted in the morning. */
  readonly missed?: MissedPolicy;
  /** Above 0, at most `"24d"`. Default `"1m"`: another hub has taken over by then. */
  readonly grace?: Duration;
}

/**
 * Describes a schedule by a cron expression: five fields, minutes first, or six, seconds first.
 *
 * @throws WorkflowDefinitionError when the expression, the zone or a policy cannot be used, or when
 * the expression names a day that never comes.
 */
export function cron(expression: string, options: CronOptions = {}): Schedule {
  const { timeZone = "UTC", input = {}, overlap = "skip", missed = "once", grace = "1m" } = options;
  if (!isTimeZone(timeZone)) {
    throw new WorkflowDefinitionError(
      `${JSON.stringify(timeZone)} is not a time zone; write an IANA name such as "Europe/Paris"`,
    );
  }
  // Whether there is a match does not depend on today.
  if (definitionOf(() => parseCron(expression)).next(0) === null) {
    throw new WorkflowDefinitionError(`the cron expression "${expression}" never matches a day`);
  }
  if (!OVERLAP_POLICIES.includes(overlap)) {
    throw new WorkflowDefinitionError(
      `overlap must be ${OVERLAP_POLICIES.map((policy) => `"${policy}"`).join(", ")}, not ${JSON.stringify(overlap)}`,
    );
  }
  if (!isMissedPolicy(missed)) {
    throw new WorkflowDefinitionError(
      `missed must be "skip", "once" or { all: 1 to ${MAX_CAUGHT_UP} }, not ${JSON.stringify(missed)}`,
    );
  }
  const graceMs = definitionOf(() => positiveMs("grace", grace));
  return { expression, timeZone, input, overlap, missed, graceMs };
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function isMissedPolicy(policy: MissedPolicy): boolean {
  if (policy === "skip" || policy === "once") return true;
  const all = policy?.all;
  return Number.isInteger(all) && all >= 1 && all <= MAX_CAUGHT_UP;
}

/** Says as an error of the definition what a reader found wrong. */
function definitionOf<Read>(read: () => Read): Read {
  try {
    return read();
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new WorkflowDefinitionError(problem, { cause });
  }
}

import { type Duration, positiveMs } from "../duration.ts";
import { WorkflowDefinitionError } from "../errors.ts";
import type { JsonValue } from "../json.ts";
import { parseCron } from "./cron-pattern.ts";

const OVERLAP_POLICIES = ["skip", "queue-one", "allow"] as const;
const MAX_CAUGHT_UP = 100;

/**
 * What happens to a due run while an earlier run of the schedule has not finished. It is skipped,
 * it waits for the end of that run (at most one waits; later ones are merged into it), or it starts
 * beside it.
 */
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/**
 * What happens to runs that no hub started in time. None starts, one starts for all of them, or the
 * newest start, at most `all` (1 to 100).
 */
export type MissedPolicy = "skip" | "once" | { readonly all: number };

/** The times at which a workflow starts by itself, and the input. All defaults are filled in. */
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

/** The options of `cron()`. */
export interface CronOptions {
  /** Default `"UTC"`, because machines of one mesh rarely have the same local zone. */
  readonly timeZone?: string;
  /** Default `{}`; `defineWorkflow` checks that it fits the workflow's schema. */
  readonly input?: JsonValue;
  /** Default `"skip"`. */
  readonly overlap?: OverlapPolicy;
  /**
   * Default `"once"`, because a laptop sleeps and the nightly backup is still needed in the
   * morning.
   */
  readonly missed?: MissedPolicy;
  /** Above 0, at most `"24d"`. Default `"1m"`, in which another hub can take over. */
  readonly grace?: Duration;
}

/**
 * Creates a schedule from a cron expression: five fields, minutes first, or six, seconds first.
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
  // Whether the expression ever matches does not depend on the current date.
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

/** Converts the error of a parser to an error of the definition. */
function definitionOf<Read>(read: () => Read): Read {
  try {
    return read();
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new WorkflowDefinitionError(problem, { cause });
  }
}

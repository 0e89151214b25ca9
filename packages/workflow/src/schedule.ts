import { Cron } from "croner";
import { WorkflowDefinitionError } from "./errors.ts";
import type { JsonValue } from "./json.ts";

/** When a workflow starts by itself, and with which input. */
export interface Schedule {
  /** Five fields, or a nickname such as `@daily`. */
  readonly expression: string;
  /** An IANA name such as `Europe/Paris`. */
  readonly timeZone: string;
  readonly input: JsonValue;
}

/**
 * Describes a schedule by a cron expression of five fields, minutes first.
 *
 * @param options.timeZone - Default `"UTC"`: machines of one mesh rarely agree on a local zone.
 * @param options.input - Default `{}`; `defineWorkflow` checks that it fits the workflow's schema.
 * @throws WorkflowDefinitionError when the expression, or the zone, cannot be read, or when the
 * expression names a day that never comes.
 */
export function cron(
  expression: string,
  { timeZone = "UTC", input = {} }: { timeZone?: string; input?: JsonValue } = {},
): Schedule {
  if (!isTimeZone(timeZone)) {
    throw new WorkflowDefinitionError(
      `${JSON.stringify(timeZone)} is not a time zone; write an IANA name such as "Europe/Paris"`,
    );
  }
  if (nextMatch(expression, timeZone) === null) {
    throw new WorkflowDefinitionError(`the cron expression "${expression}" never matches a day`);
  }
  return { expression, timeZone, input };
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** The first match after a fixed instant: whether there is one does not depend on today. */
function nextMatch(expression: string, timeZone: string): Date | null {
  try {
    const pattern = new Cron(expression, { mode: "5-part", timezone: timeZone, paused: true });
    // croner also reads an ISO date, as a schedule of one run.
    if (pattern.getPattern() === undefined) throw new TypeError("it is a date");
    return pattern.nextRun(new Date(0));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WorkflowDefinitionError(
      `"${expression}" is not a cron expression of five fields: ${reason}`,
      { cause },
    );
  }
}

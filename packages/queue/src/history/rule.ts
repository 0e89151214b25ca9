import type { QueueEvent } from "../event.ts";
import type { History } from "./history.ts";
import type { JobSoFar, Moment } from "./moment.ts";
import { type Finding, findingAt } from "./violation.ts";

/** Looks for one thing that must not be. */
export type Rule = (history: History) => Iterable<Finding>;

/** A rule about job events of some types (of any, where none is named), each with what was known before it. */
export function atJobEvents(
  types: readonly QueueEvent["type"][],
  check: (job: JobSoFar, event: QueueEvent, moment: Moment) => string | undefined,
): Rule {
  return function* ({ moments }) {
    for (const moment of moments) {
      const { event, job } = moment;
      if (job === null || (types.length > 0 && !types.includes(event.type))) continue;
      const message = check(job, event, moment);
      if (message !== undefined) yield findingAt(event, message);
    }
  };
}

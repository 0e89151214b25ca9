import type { Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

/**
 * Of the jobs of one concurrency key never more run than their limit; where limits differ, than
 * the largest of those that run.
 */
export const limitKept: Rule = function* ({ moments, jobs }) {
  const running = new Map<string, Map<number, number>>();
  for (const { event } of moments) {
    const known = event.jobId === null ? undefined : jobs.get(event.jobId)?.known;
    if (!known?.concurrencyKey || !known.concurrencyLimit) continue;

    const holders = running.get(known.concurrencyKey) ?? new Map<number, number>();
    running.set(known.concurrencyKey, holders);
    if (event.state === "running") holders.set(known.id, known.concurrencyLimit);
    else holders.delete(known.id);

    if (event.type === "job.claimed" && holders.size > Math.max(...holders.values())) {
      yield findingAt(event, `${holders.size} jobs of key ${known.concurrencyKey} run`);
    }
  }
};

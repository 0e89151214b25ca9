import type { QueueEvent } from "../../history/events.ts";
import { breachAt, type History, type JobHistory, type Rule, transactionOf } from "./history.ts";

/** Steps that map over a list, each with its items. */
function* maps({ jobs }: History): Generator<[JobHistory, JobHistory[]]> {
  const items = Map.groupBy(jobs.values(), ({ itemOf }) => itemOf);
  for (const job of jobs.values()) {
    const isMap = job.moments.some(({ event }) => event.state === "mapping");
    if (isMap || items.has(job.id)) yield [job, items.get(job.id) ?? []];
  }
}

/** An item is made only while its step is mapping. */
export const itemsWhileMapping: Rule = function* (history) {
  for (const [step, items] of maps(history)) {
    for (const { moments } of items) {
      const made = moments[0]?.event;
      if (!made) continue;
      const before = step.moments.filter(({ event }) => event.seq < made.seq).at(-1)?.event.state;
      if (before !== "mapping") {
        yield breachAt(made, `its step ${step.id} was ${before ?? "not there"}`);
      }
    }
  }
};

/** A step ends when all its items have, in the transaction that ends the last one, and its state follows from theirs. */
export const mappedWithItems: Rule = function* (history) {
  for (const [{ moments, known }, items] of maps(history)) {
    const end = moments.find(({ event }) => event.type === "job.mapped")?.event;
    if (!end) continue;
    const ends = items.flatMap((item) => item.end ?? []);
    const late = ends.filter((each) => each.seq > end.seq).length;
    const open = items.length - ends.length + late;
    if (open > 0) yield breachAt(end, `${open} of its items had not ended`);
    // A list that cannot be used has no items, and its code is not that of items that failed.
    if (end.state === "failed" && items.length === 0) continue;
    const last = ends.toSorted((a, b) => a.seq - b.seq).at(-1);
    const isLast = last === undefined || transactionOf(last) === transactionOf(end);
    if (!isLast && end.state !== "cancelled") yield breachAt(end, "none of its items ended then");
    const state = stateOf(ends, items.length, known?.items);
    if (state !== undefined && end.state !== state) {
      yield breachAt(end, `as ${end.state}; its items make it ${state}`);
    }
  }
};

function stateOf(
  ends: readonly QueueEvent[],
  made: number,
  known: NonNullable<JobHistory["known"]>["items"],
): string | undefined {
  if (!known) return undefined;
  const { total, tolerated } = known;
  const count = (state: string) => ends.filter((end) => end.state === state).length;
  if (count("failed") > (tolerated ?? 0)) return "failed";
  return count("cancelled") > 0 || total === null || made < total ? "cancelled" : "succeeded";
}

/** No more items of a step run at once than it allows. */
export const itemLimitKept: Rule = function* ({ moments, jobs }) {
  const running = new Map<number, Set<number>>();
  for (const { event } of moments) {
    const step = event.jobId === null ? null : (jobs.get(event.jobId)?.itemOf ?? null);
    const limit = step === null ? null : (jobs.get(step)?.known?.items?.concurrency ?? null);
    if (event.jobId === null || step === null || limit === null) continue;
    const holders = running.get(step) ?? new Set<number>();
    running.set(step, holders);
    if (event.state === "running") holders.add(event.jobId);
    else holders.delete(event.jobId);
    if (event.type === "job.claimed" && holders.size > limit) {
      yield breachAt(event, `${holders.size} items of step ${step} run, of at most ${limit}`);
    }
  }
};

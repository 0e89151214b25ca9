import type { BatchJob } from "../src/place/fair-order.ts";
import type { JobView, NodeView } from "../src/views.ts";
import { CLAUSES, takes } from "./random-fleets.ts";

type Job = BatchJob;

/** A second implementation of the scorers, in whole millionths as they are added up. */
function worth(job: JobView, each: NodeView): number {
  const { prefers = [], history = [], ranOn = [], declinedBy = [] } = job;
  const all = prefers.reduce((sum, { weight }) => sum + weight, 0);
  const met = prefers.filter((wish) => CLAUSES[wish.clause]?.(each.capabilities, each.name));
  const record = history.find((entry) => entry.node === each.name) ?? { succeeded: 0, failed: 0 };
  const parts = [
    5 * (all === 0 ? 1 : met.reduce((sum, { weight }) => sum + weight, 0) / all),
    Math.max(0, each.slots - each.busy) / Math.max(1, each.slots),
    (record.succeeded + 1) / (record.succeeded + record.failed + 2),
    declinedBy.includes(each.name) ? 0 : 1,
    0.5 * (ranOn.includes(each.name) ? 1 : 0),
    0.5 * (each.path === "direct" ? 1 : each.path === "relayed" ? 0 : 0.5),
  ];
  return parts.reduce((points, part) => points + Math.round(1e6 * part), 0);
}

/** A second implementation of placing without any index: job after job, node after node. */
export function placeSlowly(
  batch: readonly Job[],
  known: readonly NodeView[],
): Map<Job["id"], string> {
  const placed = new Map<Job["id"], string>();
  const left = new Set(batch);
  const onNodes = new Map<string, number>();
  const runOf = (job: Job) => job.run ?? `no run, ${job.workflow ?? ""}`;
  const inFlight = (job: Job) => onNodes.get(runOf(job)) ?? job.runInFlight ?? 0;
  const taken = (wanted: (job: Job, on: string) => boolean) =>
    batch.filter((job) => wanted(job, placed.get(job.id) ?? "")).length;
  while (left.size > 0) {
    const urgent = Math.min(...[...left].map(({ priority = 100 }) => priority));
    const level = batch.filter(({ priority = 100 }) => priority === urgent);
    const oldestOf = (job: Job) => level.findIndex((other) => runOf(other) === runOf(job));
    const [job] = level
      .filter((each) => left.has(each))
      .sort(
        (a, b) =>
          inFlight(a) - inFlight(b) || oldestOf(a) - oldestOf(b) || Number(a.id) - Number(b.id),
      );
    if (job === undefined) break;
    left.delete(job);
    const { concurrency } = job;
    const now = concurrency && {
      ...job,
      concurrency: {
        ...concurrency,
        running:
          (concurrency.running ?? 0) +
          taken((other, on) => on !== "" && other.concurrency?.key === concurrency.key),
      },
    };
    const [best] = known
      .map((each) => ({ ...each, busy: each.busy + taken((_other, on) => on === each.name) }))
      .filter((each) => takes(now ?? job, each))
      .sort((a, b) => {
        const difference = worth(job, b) - worth(job, a);
        return difference !== 0 ? difference : a.name < b.name ? -1 : 1;
      });
    if (best === undefined) continue;
    placed.set(job.id, best.name);
    onNodes.set(runOf(job), inFlight(job) + 1);
  }
  return placed;
}

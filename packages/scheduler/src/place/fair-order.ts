import type { JobView } from "../views.ts";
import { createHeap } from "./heap.ts";

const DEFAULT_PRIORITY = 100;

/** A job in a batch. Ids are unique; the lower one is older. */
export type BatchJob<Job extends JobView = JobView> = Job & { readonly id: string | number };

/**
 * Offers jobs one by one: the most urgent first, and runs in turn.
 *
 * Among jobs of one priority, the run with the fewest jobs on nodes goes first, counting those of this batch;
 * then the run with the oldest job. So a run with one step does not wait for a run with ten thousand. Within
 * a run, the oldest job goes first.
 *
 * @param place - Takes an index into `jobs`. Returns whether the job got a node.
 */
export function inFairOrder(jobs: readonly BatchJob[], place: (index: number) => boolean): void {
  const onNodes = new Map<string, number>();
  for (const level of byPriority(jobs)) {
    const turns = createHeap<Turn>(
      (a, b) => a.served < b.served || (a.served === b.served && a.rank < b.rank),
    );
    for (const { run, queue } of byRun(jobs, level)) {
      const first = jobs[queue[0] ?? 0];
      turns.push({
        run,
        queue,
        next: 0,
        rank: turns.size,
        served: onNodes.get(run) ?? first?.runInFlight ?? 0,
      });
    }
    for (let turn = turns.peek(); turn !== undefined; turn = turns.peek()) {
      const index = turn.queue[turn.next];
      if (index === undefined) {
        onNodes.set(turn.run, turn.served);
        turns.pop();
        continue;
      }
      turn.next += 1;
      if (!place(index)) continue;
      turns.pop();
      turn.served += 1;
      turns.push(turn);
    }
  }
}

interface Turn {
  readonly run: string;
  /** The indices of its jobs, oldest first, and the current position. */
  readonly queue: readonly number[];
  next: number;
  readonly rank: number;
  served: number;
}

/** Groups indices by priority, most urgent first; within a priority, oldest first. */
function byPriority(jobs: readonly BatchJob[]): number[][] {
  const levels = new Map<number, number[]>();
  for (const [index, { priority = DEFAULT_PRIORITY }] of jobs.entries()) {
    const level = levels.get(priority);
    if (level === undefined) levels.set(priority, [index]);
    else level.push(index);
  }
  return [...levels.entries()]
    .sort(([a], [b]) => a - b)
    .map(([, level]) =>
      isSorted(jobs, level) ? level : level.sort((a, b) => compareIds(jobs, a, b)),
    );
}

const isSorted = (jobs: readonly BatchJob[], level: readonly number[]): boolean =>
  level.every((index, at) => at === 0 || compareIds(jobs, level[at - 1] ?? 0, index) <= 0);

/** Compares numbers by value and texts by their code units. Numbers come before texts. */
function compareIds(jobs: readonly BatchJob[], a: number, b: number): number {
  const id1 = jobs[a]?.id ?? 0;
  const id2 = jobs[b]?.id ?? 0;
  if (typeof id1 !== typeof id2) return typeof id1 === "number" ? -1 : 1;
  return id1 < id2 ? -1 : id1 > id2 ? 1 : 0;
}

function byRun(
  jobs: readonly BatchJob[],
  level: readonly number[],
): Iterable<{ run: string; queue: readonly number[] }> {
  const runs = new Map<string, { run: string; queue: number[] }>();
  for (const index of level) {
    const { run: id, workflow = "" } = jobs[index] ?? {};
    const run = id ?? `no run, ${workflow}`;
    const known = runs.get(run);
    if (known === undefined) runs.set(run, { run, queue: [index] });
    else known.queue.push(index);
  }
  return runs.values();
}

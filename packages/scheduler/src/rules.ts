import { belowLimit } from "./filters/below-limit.ts";
import { hasCapabilities } from "./filters/has-capabilities.ts";
import { hasFreeSlot } from "./filters/has-free-slot.ts";
import { hasVersion } from "./filters/has-version.ts";
import { isHost } from "./filters/is-host.ts";
import { isOnline } from "./filters/is-online.ts";
import { notDraining } from "./filters/not-draining.ts";
import { notExcluded } from "./filters/not-excluded.ts";
import { notPaused } from "./filters/not-paused.ts";
import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import type { Filter, Problem, Scorer } from "./rule.ts";
import { directPath } from "./scorers/direct-path.ts";
import { leastBusy } from "./scorers/least-busy.ts";
import { nearRun } from "./scorers/near-run.ts";
import { notDeclined } from "./scorers/not-declined.ts";
import { prefers } from "./scorers/prefers.ts";
import { succeededHere } from "./scorers/succeeded-here.ts";

/** What is placed by: a node fits when all filters say so, and the best score wins. */
export interface Rules<Job = JobView, Node = NodeView> {
  readonly filters: readonly Filter<Job, Node>[];
  readonly scorers: readonly Scorer<Job, Node>[];
}

/** The rules that Loom places with. */
export const defaultRules: Rules = {
  filters: [
    isHost,
    hasCapabilities,
    hasVersion,
    notExcluded,
    isOnline,
    notPaused,
    notDraining,
    hasFreeSlot,
    belowLimit,
  ],
  scorers: [prefers, leastBusy, succeededHere, notDeclined, nearRun, directPath],
};

/** One filter's no to one node. */
export interface Failure extends Problem {
  readonly filter: string;
  readonly about: Filter["about"];
}

/** Everything that the filters have against a node. */
export function judge<Job, Node>(
  filters: readonly Filter<Job, Node>[],
  job: Job,
  node: Node,
): Failure[] {
  const failures: Failure[] = [];
  for (const { name, about, check } of filters) {
    for (const problem of check(job, node)) failures.push({ filter: name, about, ...problem });
  }
  return failures;
}

/** Whether no filter has anything against a node. */
export const passes = <Job, Node>(
  filters: readonly Filter<Job, Node>[],
  job: Job,
  node: Node,
): boolean => filters.every(({ check }) => check(job, node).length === 0);

const POINTS = 1_000_000;

/**
 * What scorers give a node, in millionths of their weights. Whole numbers: their sum does not depend on
 * the order, so equal nodes are equal however they are compared.
 */
export function pointsOf<Job, Node>(
  scorers: readonly Scorer<Job, Node>[],
  job: Job,
  node: Node,
): number {
  let points = 0;
  for (const { weight, score } of scorers) {
    points += Math.round(weight * POINTS * within01(score(job, node)));
  }
  return points;
}

/** Scores from 0 to 1 out of points. */
export function scoreScale(scorers: readonly Pick<Scorer, "weight">[]): (points: number) => number {
  const most = scorers.reduce((sum, { weight }) => sum + Math.round(weight * POINTS), 0);
  return (points) => (most === 0 ? 0 : points / most);
}

const within01 = (score: number): number => (score > 0 ? Math.min(score, 1) : 0);

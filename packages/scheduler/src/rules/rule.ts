import type { JobView, NodeView } from "../views.ts";

/**
 * The common part of filters and scorers.
 *
 * `key` and `named` only save work: they declare which questions have the same answer. A rule with
 * neither is checked for every job and every node.
 */
interface Rule<Job> {
  readonly name: string;
  /**
   * `ability`: the answer does not depend on time or on the node's other jobs. `availability`: it
   * may change with time, and with each job that the node takes.
   */
  readonly about: "ability" | "availability";
  /** Jobs with the same key get the same answer, for each node. */
  readonly key?: (job: Job) => string;
  /** All nodes that are not named here get the same answer, for each job. */
  readonly named?: (job: Job) => readonly string[];
}

/** Decides whether a job may run on a node. */
export interface Filter<Job = JobView, Node = NodeView> extends Rule<Job> {
  readonly check: (job: Job, node: Node) => FilterResult;
  /** Returns a change after which the node fits; `undefined` if there is none. */
  readonly fix?: (job: Job, node: Node) => FilterFix | undefined;
}

/** Rates a node for a job. */
export interface Scorer<Job = JobView, Node = NodeView> extends Rule<Job> {
  /** The weight relative to the other scorers; above 0. */
  readonly weight: number;
  /** From 0 (worst) to 1 (best). */
  readonly score: (job: Job, node: Node) => number;
}

/** Every reason why a filter refuses a node; empty if the node fits. */
export type FilterResult = readonly Failure[];

/** One reason why a job may not run on a node. */
export interface Failure {
  /** Stable, `lower_snake`. */
  readonly code: string;
  /** The text that follows the node's name in a sentence: `is full (2/2 slots)`. */
  readonly reason: string;
  /** The clause that is not met, if the failure is about one. */
  readonly clause?: string;
  /** What the node has instead. */
  readonly seen?: readonly string[];
}

/** A change after which a node passes a filter. */
export interface FilterFix {
  /** The action of a person: `start the agent of tower`. */
  readonly action: string;
  readonly job?: Partial<JobView>;
  readonly node?: Partial<NodeView>;
}

/** The result of a filter for a node that fits. */
export const fits: FilterResult = [];

/** The result of a filter that refuses a node for one reason. */
export const refuses = (
  code: string,
  reason: string,
  about: Pick<Failure, "clause" | "seen"> = {},
): FilterResult => [{ code, reason, ...about }];

/** The key of a rule that reads nothing of the job. */
export const anyJob = (): string => "";

/** The rules of placing: a node fits if it passes all filters, and the best score wins. */
export interface Rules<Job = JobView, Node = NodeView> {
  readonly filters: readonly Filter<Job, Node>[];
  readonly scorers: readonly Scorer<Job, Node>[];
}

/** A failure with the filter that found it. */
export interface FilterFailure extends Failure {
  readonly filter: string;
  readonly about: Filter["about"];
}

/** Checks one node with every filter, and lists all failures; none if the node fits. */
export function applyFilters<Job, Node>(
  filters: readonly Filter<Job, Node>[],
  job: Job,
  node: Node,
): FilterFailure[] {
  const failures: FilterFailure[] = [];
  for (const { name, about, check } of filters) {
    for (const failure of check(job, node)) failures.push({ filter: name, about, ...failure });
  }
  return failures;
}

/** Whether a node passes all filters. */
export const passes = <Job, Node>(
  filters: readonly Filter<Job, Node>[],
  job: Job,
  node: Node,
): boolean => filters.every(({ check }) => check(job, node).length === 0);

const POINTS = 1_000_000;

/**
 * Adds up the scores of a node, in millionths of the weights. The points are whole numbers. So
 * their sum does not depend on the order, and equal nodes stay equal in every comparison.
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

/** Returns a function that converts points to a score from 0 to 1. */
export function scoreScale(scorers: readonly Pick<Scorer, "weight">[]): (points: number) => number {
  const most = scorers.reduce((sum, { weight }) => sum + Math.round(weight * POINTS), 0);
  return (points) => (most === 0 ? 0 : points / most);
}

const within01 = (score: number): number => (score > 0 ? Math.min(score, 1) : 0);

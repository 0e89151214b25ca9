import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";

/**
 * What filters and scorers have in common.
 *
 * `key` and `named` only save work: they say which questions have one answer. A rule with neither is
 * asked for every job and every node.
 */
interface Rule<Job> {
  readonly name: string;
  /**
   * `ability`: however long one waits, and whatever else the node does, the answer is the same.
   * `availability`: it may change with time, and with each job that the node takes.
   */
  readonly about: "ability" | "availability";
  /** Jobs of one key get the same answer, for each node. */
  readonly key?: (job: Job) => string;
  /** All nodes that are not named here get the same answer, for each job. */
  readonly named?: (job: Job) => readonly string[];
}

/** Says whether a job may run on a node. */
export interface Filter<Job = JobView, Node = NodeView> extends Rule<Job> {
  readonly check: (job: Job, node: Node) => Check;
  /** What would change the answer to yes; `undefined` where nothing would. */
  readonly mend?: (job: Job, node: Node) => Mend | undefined;
}

/** Says how well a job would do on a node. */
export interface Scorer<Job = JobView, Node = NodeView> extends Rule<Job> {
  /** How much it counts against the other scorers; above 0. */
  readonly weight: number;
  /** From 0 (worst) to 1 (best). */
  readonly score: (job: Job, node: Node) => number;
}

/** Everything that a filter has against a node; empty for a yes. */
export type Check = readonly Problem[];

/** One thing that keeps a job from a node. */
export interface Problem {
  /** Stable, `lower_snake`. */
  readonly code: string;
  /** What follows the node's name in a sentence: `is full (2/2 slots)`. */
  readonly reason: string;
  /** The clause that is not met, if it is about one. */
  readonly clause?: string;
  /** What the node has instead. */
  readonly seen?: readonly string[];
}

/** A change after which a filter says yes. */
export interface Mend {
  /** What somebody would do: `start the agent of tower`. */
  readonly action: string;
  readonly job?: Partial<JobView>;
  readonly node?: Partial<NodeView>;
}

/** The yes of a filter. */
export const fits: Check = [];

/** The no of a filter. */
export const refuses = (
  code: string,
  reason: string,
  about: Pick<Problem, "clause" | "seen"> = {},
): Check => [{ code, reason, ...about }];

/** The key of a rule that reads nothing of the job. */
export const anyJob = (): string => "";

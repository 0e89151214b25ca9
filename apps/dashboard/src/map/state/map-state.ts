import type { JobSummary, Node, RunSummary } from "@loom/client";

export type JobState = JobSummary["state"];
export type RunStatus = RunSummary["status"];

/** A machine on the map. */
export interface MapNode {
  readonly name: string;
  readonly online: boolean;
  readonly status: Node["status"];
  readonly slots: number;
  readonly capabilities: readonly string[];
  readonly isHub: boolean;
  /** The newest event of the node, and its time in ms since the epoch; 0 before the first event. */
  readonly seq: number;
  readonly at: number;
}

/** A step that is unfinished or finished a moment ago. */
export interface MapJob {
  readonly id: number;
  readonly runId: string | null;
  /** Null until the next reading: events do not carry it. */
  readonly step: string | null;
  readonly workflow: string | null;
  readonly state: JobState;
  /** The node that runs or ran it, or that it is offered to. */
  readonly node: string | null;
  /** The newest event of the job, and its time in ms since the epoch; 0 before the first event. */
  readonly seq: number;
  readonly at: number;
  /** Why no node has taken it, while it waits. */
  readonly reason: string | null;
  readonly requires: readonly string[];
}

/** A run, drawn as a thread through the nodes that it used. */
export interface MapRun {
  readonly id: string;
  readonly workflow: string | null;
  readonly status: RunStatus;
  /** Why nothing of it runs, as the last reading said; null after a step of it is taken. */
  readonly waits: string | null;
  /** Nodes in the order of use, without immediate repeats. */
  readonly path: readonly string[];
  /** Claims of its steps, in the order of their events. */
  readonly claims: readonly Claim[];
  /** The path in the first reading, before any claim, and the reading's time in ms since the epoch. */
  readonly read: { readonly path: readonly string[]; readonly at: number };
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

/** A node took a step. */
interface Claim {
  readonly seq: number;
  readonly node: string;
}

/** Everything the map shows: an immutable value, made of readings and the events since. */
export interface MapState {
  readonly nodes: ReadonlyMap<string, MapNode>;
  readonly runs: ReadonlyMap<string, MapRun>;
  readonly jobs: ReadonlyMap<number, MapJob>;
}

export const emptyMap: MapState = { nodes: new Map(), runs: new Map(), jobs: new Map() };

const finalStates: ReadonlySet<JobState> = new Set(["succeeded", "failed", "cancelled", "skipped"]);

/** Whether a job in this state never changes again. */
export const isFinal = (state: JobState): boolean => finalStates.has(state);

/** Whether a job waits for a node, not for another step. */
export const isWaiting = ({ state }: MapJob): boolean => state === "waiting";

/** The jobs that occupy this node's slots. */
export const jobsOn = (map: MapState, node: string): MapJob[] =>
  [...map.jobs.values()].filter((job) => job.node === node && job.state === "running");

/** The state of a run for a `StateBadge`: one of which nothing runs waits, whatever its status. */
export const stateOfRun = ({ status, waits }: Pick<MapRun, "status" | "waits">): string =>
  status === "running" && waits !== null ? "waiting" : status;

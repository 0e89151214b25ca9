import type { JobSummary, Node, RunSummary } from "@loom/hub/client";

export type JobState = JobSummary["state"];
export type RunStatus = RunSummary["status"];

/** A machine, as the mesh shows it. */
export interface MeshNode {
  readonly name: string;
  readonly online: boolean;
  readonly status: Node["status"];
  readonly slots: number;
  readonly capabilities: readonly string[];
  readonly isHub: boolean;
  /** The newest event that told of it, and when, in ms since the epoch; 0 for what was read. */
  readonly seq: number;
  readonly at: number;
}

/** A step that is not finished, or was a moment ago. */
export interface MeshJob {
  readonly id: number;
  readonly runId: string | null;
  /** Null until the hub was asked: events do not carry it. */
  readonly step: string | null;
  readonly workflow: string | null;
  readonly state: JobState;
  /** Where it runs or ran, or the node that it is offered to. */
  readonly node: string | null;
  /** The newest event that was applied, and when it was, in ms since the epoch; 0 for what was read. */
  readonly seq: number;
  readonly at: number;
  /** Why no node has it, while it waits. */
  readonly reason: string | null;
  readonly requires: readonly string[];
}

/** One run: a thread through the nodes that it used. */
export interface MeshRun {
  readonly id: string;
  readonly workflow: string | null;
  readonly status: RunStatus;
  /** Nodes that it used; the same one twice only with another between. */
  readonly path: readonly string[];
  /** The claims that were told, by their events' numbers. */
  readonly claims: readonly Claim[];
  /** Nodes as they were read, before any claim was told, and when, in ms since the epoch. */
  readonly read: { readonly path: readonly string[]; readonly at: number };
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

/** A node took a step. */
interface Claim {
  readonly seq: number;
  readonly node: string;
}

/** What the map shows: a value, made of what was read and the events since. */
export interface Mesh {
  readonly nodes: ReadonlyMap<string, MeshNode>;
  readonly runs: ReadonlyMap<string, MeshRun>;
  readonly jobs: ReadonlyMap<number, MeshJob>;
}

export const emptyMesh: Mesh = { nodes: new Map(), runs: new Map(), jobs: new Map() };

const finalStates: ReadonlySet<JobState> = new Set(["succeeded", "failed", "cancelled", "skipped"]);

/** Nothing leaves these states. */
export const isFinal = (state: JobState): boolean => finalStates.has(state);

/** What waits for a node, rather than for another step. */
export const isWaiting = ({ state }: MeshJob): boolean => state === "waiting";

/** The jobs that take this node's slots. */
export const jobsOn = (mesh: Mesh, node: string): MeshJob[] =>
  [...mesh.jobs.values()].filter((job) => job.node === node && job.state === "running");

import type { JobSummary, Node, RunSummary } from "@loom/hub/client";
import { isFinal, type Mesh, type MeshJob, type MeshNode, type MeshRun } from "./mesh.ts";

/** What the hub answered when it was asked for everything at once. */
export interface Reading {
  /** When it was asked for, in ms since the epoch by the hub's clock. */
  at: number;
  nodes: readonly Node[];
  /** The newest runs, and all that run. */
  runs: readonly RunSummary[];
  /** All that are not finished, and the newest of all. */
  jobs: readonly JobSummary[];
}

/**
 * The mesh as it was read. Of the one before it keeps what a reading does not tell: what is finished and
 * still shown, the order in which runs used their nodes, and what happened while it was under way.
 */
export function readMesh({ at, nodes, runs, jobs }: Reading, before: Mesh): Mesh {
  const read = new Set(runs.map(({ id }) => id));
  const keptRuns = [...before.runs.values()].filter(
    (run) => run.finishedAt !== null && !read.has(run.id),
  );
  const keptJobs = [...before.jobs.values()].filter(
    (job) => isFinal(job.state) && before.runs.has(job.runId ?? ""),
  );
  const shownRuns = runs
    .filter(({ id, status }) => status === "running" || before.runs.has(id))
    .map((run) => toMeshRun(run, before.runs.get(run.id), at));
  return {
    nodes: new Map(
      nodes.map((node) => [node.name, toMeshNode(node, before.nodes.get(node.name), at)]),
    ),
    runs: new Map([...keptRuns, ...shownRuns].map((run) => [run.id, run])),
    jobs: new Map(
      [...keptJobs, ...jobs.map((job) => toMeshJob(job, before.jobs.get(job.id), at))].map(
        (job) => [job.id, job],
      ),
    ),
  };
}

function toMeshNode(node: Node, before: MeshNode | undefined, at: number): MeshNode {
  // What was told while the reading was under way is newer than what it read.
  const { online, status } = before !== undefined && before.at > at ? before : node;
  return {
    name: node.name,
    online,
    status,
    slots: node.slots,
    capabilities: node.capabilities,
    isHub: node.capabilities.includes("loom-hub"),
    seq: before?.seq ?? 0,
    at: before?.at ?? 0,
  };
}

export function toMeshRun(run: RunSummary, before: MeshRun | undefined, at: number): MeshRun {
  const isOver = before !== undefined && before.finishedAt !== null;
  return {
    id: run.id,
    workflow: run.workflow,
    status: isOver ? before.status : run.status,
    path: before?.path ?? run.nodes,
    claims: before?.claims ?? [],
    read: before?.read ?? { path: run.nodes, at },
    createdAt: run.createdAt,
    finishedAt: isOver ? before.finishedAt : run.finishedAt,
  };
}

function toMeshJob(job: JobSummary, before: MeshJob | undefined, at: number): MeshJob {
  const names = { step: job.step, workflow: job.workflow, requires: job.requires };
  const hasGoneOn = before !== undefined && (before.at > at || isFinal(before.state));
  if (hasGoneOn) return { ...before, ...names };
  return {
    ...names,
    id: job.id,
    runId: job.runId,
    state: job.state,
    node: job.state === "waiting" ? null : (job.targetHost ?? job.ranOn),
    seq: before?.seq ?? 0,
    at: before?.at ?? 0,
    reason: job.waitingReason?.summary ?? null,
  };
}

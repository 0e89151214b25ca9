import type { JobSummary, Node, RunSummary } from "@loom/hub/client";
import type { Mesh, MeshJob, MeshNode, MeshRun } from "./mesh.ts";

/** What the hub answered when it was asked for everything at once. */
export interface Reading {
  nodes: readonly Node[];
  /** The newest runs, and all that run. */
  runs: readonly RunSummary[];
  /** All that are not finished. */
  jobs: readonly JobSummary[];
}

/**
 * The mesh as it was read. Of the one before it keeps what a reading does not tell: finished runs
 * that are still shown, and the order in which runs used their nodes.
 */
export function readMesh({ nodes, runs, jobs }: Reading, before: Mesh): Mesh {
  const read = new Set(runs.map(({ id }) => id));
  const keptRuns = [...before.runs.values()].filter(
    (run) => run.finishedAt !== null && !read.has(run.id),
  );
  const shownRuns = runs
    .filter(({ id, status }) => status === "running" || before.runs.has(id))
    .map((run) => toMeshRun(run, before.runs.get(run.id)));
  return {
    nodes: new Map(nodes.map((node) => [node.name, toMeshNode(node)])),
    runs: new Map([...keptRuns, ...shownRuns].map((run) => [run.id, run])),
    jobs: new Map(jobs.map((job) => [job.id, toMeshJob(job, before.jobs.get(job.id))])),
  };
}

const toMeshNode = ({ name, online, status, slots, capabilities }: Node): MeshNode => ({
  name,
  online,
  status,
  slots,
  capabilities,
  isHub: capabilities.includes("loom-hub"),
});

const toMeshRun = (run: RunSummary, before: MeshRun | undefined): MeshRun => ({
  id: run.id,
  workflow: run.workflow,
  status: run.status,
  path: before && before.path.length > 0 ? before.path : run.nodes,
  createdAt: run.createdAt,
  finishedAt: run.finishedAt,
});

const toMeshJob = (job: JobSummary, before: MeshJob | undefined): MeshJob => ({
  id: job.id,
  runId: job.runId,
  step: job.step,
  workflow: job.workflow,
  state: job.state,
  node: job.state === "waiting" ? null : (job.targetHost ?? job.ranOn),
  seq: before?.seq ?? 0,
  reason: job.waitingReason?.summary ?? null,
  requires: job.requires,
});

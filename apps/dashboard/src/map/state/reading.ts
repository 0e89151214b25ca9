import type { JobSummary, Node, RunSummary } from "@loom/client";
import { isFinal, type MapJob, type MapNode, type MapRun, type MapState } from "./map-state.ts";

/** The hub's nodes, runs and jobs, read at one moment. */
export interface Reading {
  /** Time of the request by the hub's clock, in ms since the epoch. */
  at: number;
  nodes: readonly Node[];
  /** The newest runs and all running ones. */
  runs: readonly RunSummary[];
  /** All unfinished jobs and the newest ones. */
  jobs: readonly JobSummary[];
}

/**
 * The map after a reading. It keeps what a reading does not contain: finished runs that are still shown,
 * the order in which runs used their nodes, and events that happened while the reading was under way.
 */
export function applyReading({ at, nodes, runs, jobs }: Reading, before: MapState): MapState {
  const read = new Set(runs.map(({ id }) => id));
  const keptRuns = [...before.runs.values()].filter(
    (run) => run.finishedAt !== null && !read.has(run.id),
  );
  const keptJobs = [...before.jobs.values()].filter(
    (job) => isFinal(job.state) && before.runs.has(job.runId ?? ""),
  );
  const shownRuns = runs
    .filter(({ id, status }) => status === "running" || before.runs.has(id))
    .map((run) => toMapRun(run, before.runs.get(run.id), at));
  return {
    nodes: new Map(
      nodes.map((node) => [node.name, toMapNode(node, before.nodes.get(node.name), at)]),
    ),
    runs: new Map([...keptRuns, ...shownRuns].map((run) => [run.id, run])),
    jobs: new Map(
      [...keptJobs, ...jobs.map((job) => toMapJob(job, before.jobs.get(job.id), at))].map((job) => [
        job.id,
        job,
      ]),
    ),
  };
}

function toMapNode(node: Node, before: MapNode | undefined, at: number): MapNode {
  // An event that came while the reading was under way is newer than the reading.
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

export function toMapRun(run: RunSummary, before: MapRun | undefined, at: number): MapRun {
  const isOver = before !== undefined && before.finishedAt !== null;
  return {
    id: run.id,
    workflow: run.workflow,
    status: isOver ? before.status : run.status,
    waits: run.waitingReason?.summary ?? null,
    path: before?.path ?? run.nodes,
    claims: before?.claims ?? [],
    read: before?.read ?? { path: run.nodes, at },
    createdAt: run.createdAt,
    finishedAt: isOver ? before.finishedAt : run.finishedAt,
  };
}

function toMapJob(job: JobSummary, before: MapJob | undefined, at: number): MapJob {
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

import type { Event } from "@loom/hub/client";
import { emptyMesh, type JobState, type Mesh, type MeshJob, type MeshNode } from "./mesh.ts";
import { type Reading, readMesh, toMeshRun } from "./read-mesh.ts";

/** What a job was before an event of it; one of a type that is missing here did not exist. */
const STATE_BEFORE: Partial<Record<Event["type"], JobState>> = {
  "job.ready": "blocked",
  "job.skipped": "blocked",
  "job.waiting": "waiting",
  "job.offered": "waiting",
  "job.cancelled": "waiting",
  "job.expired": "waiting",
  "job.claimed": "pending",
  "job.declined": "pending",
  "job.offer_expired": "pending",
  "job.settled": "running",
  "job.requeued": "running",
  "job.cancel_requested": "running",
};

/** How a node was before an event of it. */
const CONDITION_BEFORE: Partial<
  Record<Event["type"], Partial<Pick<MeshNode, "online" | "status">>>
> = {
  "node.hello": { online: false },
  "node.dead": { online: true },
  "node.paused": { status: "active" },
  "node.draining": { status: "active" },
  "node.resumed": { status: "paused" },
};

/**
 * The mesh as it was before these events, from how it is after them: `reduce` leads from the one to the
 * other. What the first event of something says of how that was before is what there is to go by; what
 * no event tells of was as it is.
 */
export function rewind(reading: Reading, events: readonly Event[]): Mesh {
  const firstOfJob = new Map<number, Event>();
  const started = new Set<string>();
  const used = new Map<string, Set<string>>();
  const open = new Set<string>();
  for (const event of events) {
    const { jobId, runId, type, node } = event;
    if (jobId !== null && !firstOfJob.has(jobId)) firstOfJob.set(jobId, event);
    if (runId === null) continue;
    open.add(runId);
    if (type === "run.started") started.add(runId);
    if (type === "job.claimed" && node !== null) {
      used.set(runId, (used.get(runId) ?? new Set()).add(node));
    }
  }
  const now = readMesh(reading, emptyMesh);
  const wasThere = (runId: string | null): boolean => runId === null || !started.has(runId);
  const runs = reading.runs
    .filter(({ id, status }) => wasThere(id) && (status === "running" || open.has(id)))
    .map((run) => {
      const nodes = run.nodes.filter((node) => !used.get(run.id)?.has(node));
      return toMeshRun({ ...run, status: "running", finishedAt: null, nodes }, undefined, 0);
    });
  const jobs = [...now.jobs.values()].filter(({ id, runId }) => {
    const isShown = runId === null || runs.some((run) => run.id === runId);
    return !firstOfJob.has(id) && isShown && wasThere(runId);
  });
  const named = new Map(reading.jobs.map((job) => [job.id, job]));
  for (const event of firstOfJob.values()) {
    const job = jobBefore(event, named.get(event.jobId ?? 0));
    if (job) jobs.push(job);
  }
  return {
    nodes: rewindNodes(now.nodes, events),
    runs: new Map(runs.map((run) => [run.id, run])),
    jobs: new Map(jobs.map((job) => [job.id, job])),
  };
}

/** Backwards, so that the first event of each kind has the last word. */
const rewindNodes = (now: Mesh["nodes"], events: readonly Event[]): Mesh["nodes"] => {
  const nodes = new Map(now);
  for (const { type, node: name } of events.toReversed()) {
    const node = nodes.get(name ?? "");
    if (node && CONDITION_BEFORE[type])
      nodes.set(node.name, { ...node, ...CONDITION_BEFORE[type] });
  }
  return nodes;
};

function jobBefore(
  { type, jobId, runId, node }: Event,
  known: Reading["jobs"][number] | undefined,
): MeshJob | undefined {
  const state = STATE_BEFORE[type];
  if (jobId === null || state === undefined) return undefined;
  return {
    id: jobId,
    runId,
    step: known?.step ?? null,
    workflow: known?.workflow ?? null,
    requires: known?.requires ?? [],
    state,
    node: state === "pending" || state === "running" ? node : null,
    seq: 0,
    at: 0,
    reason: null,
  };
}

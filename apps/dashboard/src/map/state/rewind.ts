import type { Event } from "@loom/client";
import { emptyMap, type MapJob, type MapState } from "./map-state.ts";
import { applyReading, type Reading, toMapRun } from "./reading.ts";
import { JOB_TRANSITIONS, NODE_TRANSITIONS } from "./transitions.ts";

/**
 * The map before these events, given a reading after them. It inverts `reduce`: the first event of a job
 * or node implies the state before it, and what no event mentions has not changed.
 */
export function rewind(reading: Reading, events: readonly Event[]): MapState {
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
  const now = applyReading(reading, emptyMap);
  const existed = (runId: string | null): boolean => runId === null || !started.has(runId);
  const runs = reading.runs
    .filter(({ id, status }) => existed(id) && (status === "running" || open.has(id)))
    .map((run) => {
      const nodes = run.nodes.filter((node) => !used.get(run.id)?.has(node));
      return toMapRun({ ...run, status: "running", finishedAt: null, nodes }, undefined, 0);
    });
  const jobs = [...now.jobs.values()].filter(({ id, runId }) => {
    const isShown = runId === null || runs.some((run) => run.id === runId);
    return !firstOfJob.has(id) && isShown && existed(runId);
  });
  const known = new Map(reading.jobs.map((job) => [job.id, job]));
  for (const event of firstOfJob.values()) {
    const job = jobBefore(event, known.get(event.jobId ?? 0));
    if (job) jobs.push(job);
  }
  return {
    nodes: rewindNodes(now.nodes, events),
    runs: new Map(runs.map((run) => [run.id, run])),
    jobs: new Map(jobs.map((job) => [job.id, job])),
  };
}

/** Goes backwards, so that the first event of each kind decides. */
const rewindNodes = (now: MapState["nodes"], events: readonly Event[]): MapState["nodes"] => {
  const nodes = new Map(now);
  for (const { type, node: name } of events.toReversed()) {
    const node = nodes.get(name ?? "");
    if (node) nodes.set(node.name, { ...node, ...NODE_TRANSITIONS[type]?.before });
  }
  return nodes;
};

function jobBefore(
  { type, jobId, runId, node, detail }: Event,
  known: Reading["jobs"][number] | undefined,
): MapJob | undefined {
  // With a detail, it says more of a step that was suspended already.
  const isMore = type === "job.suspended" && detail !== null;
  const state = isMore ? "suspended" : JOB_TRANSITIONS[type]?.before;
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

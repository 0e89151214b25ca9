import type { Event } from "@loom/client";
import {
  isFinal,
  type JobState,
  type MapJob,
  type MapNode,
  type MapRun,
  type MapState,
  type RunStatus,
} from "./map-state.ts";
import { NODE_TRANSITIONS } from "./transitions.ts";
import { describeReason } from "./words.ts";

/** How long a finished run stays on the map, by the clock of the events. */
export const FADE_MS = 30_000;

/**
 * The map after an event. It is pure: it reads no clock and leaves its arguments as they are.
 *
 * An event that is older than the newest one of its job or node changes nothing: events of different
 * transactions may arrive out of order.
 */
export function reduce(map: MapState, event: Event): MapState {
  const transition = NODE_TRANSITIONS[event.type];
  if (transition) return reduceNode(map, event, transition.after);
  if (event.type === "run.started") return reduceRun(map, event, "running");
  if (event.type === "run.finished") {
    return reduceRun(forget(map, Date.parse(event.at)), event, event.state as RunStatus);
  }
  if (event.jobId === null) return map;
  const next = reduceJob(map, event, event.jobId);
  return event.type === "job.claimed" ? { ...next, runs: addClaim(next.runs, event) } : next;
}

function reduceNode(
  map: MapState,
  { node: name, seq, at }: Event,
  condition: Partial<Pick<MapNode, "online" | "status">>,
): MapState {
  if (name === null) return map;
  const known = map.nodes.get(name) ?? unknownNode(name);
  if (known.seq >= seq) return map;
  const node = { ...known, ...condition, seq, at: Date.parse(at) };
  return { ...map, nodes: withEntry(map.nodes, name, node) };
}

const unknownNode = (name: string): MapNode => ({
  name,
  online: false,
  status: "active",
  slots: 1,
  capabilities: [],
  isHub: false,
  seq: 0,
  at: 0,
});

function reduceRun(map: MapState, { runId, at, detail }: Event, status: RunStatus): MapState {
  if (runId === null) return map;
  const known = map.runs.get(runId);
  // A reading had it as finished before its start event came.
  if (status === "running" && known && known.status !== "running") return map;
  const run: MapRun = {
    id: runId,
    workflow: known?.workflow ?? (status === "running" ? detail : null),
    status,
    waits: status === "running" ? (known?.waits ?? null) : null,
    path: known?.path ?? [],
    claims: known?.claims ?? [],
    read: known?.read ?? { path: [], at: 0 },
    createdAt: known?.createdAt ?? at,
    finishedAt: status === "running" ? null : at,
  };
  return { ...map, runs: withEntry(map.runs, runId, run) };
}

function reduceJob(map: MapState, event: Event, id: number): MapState {
  const { runId, seq, state: given } = event;
  const known = map.jobs.get(id);
  if (known && (known.seq >= seq || isFinal(known.state))) return map;
  const state = (given ?? known?.state ?? "waiting") as JobState;
  const workflow = known?.workflow ?? map.runs.get(runId ?? "")?.workflow ?? null;
  const job: MapJob = {
    id,
    runId,
    step: known?.step ?? null,
    workflow,
    state,
    node: nodeAfter(event, state, known),
    seq,
    at: Date.parse(event.at),
    reason: state === "waiting" ? reasonAfter(event, known) : null,
    requires: known?.requires ?? [],
  };
  const jobs = withEntry(map.jobs, id, job);
  return { ...map, jobs };
}

/** The event has only the code; a reading a moment later has the whole reason. */
function reasonAfter({ type, detail }: Event, known: MapJob | undefined): string | null {
  if (type === "job.waiting" && detail !== null) return describeReason(detail);
  return known?.state === "waiting" ? known.reason : null;
}

/** A waiting job has no node; a finished one keeps the node where it ran. */
function nodeAfter({ node }: Event, state: JobState, known: MapJob | undefined): string | null {
  if (state === "waiting" || state === "mapping" || state === "skipped") return null;
  return node ?? known?.node ?? null;
}

/**
 * Extends the run's path by the node of a claim. Claims arrive almost in order; those made before the
 * run was first read are already in the path of that reading.
 */
function addClaim(runs: MapState["runs"], { runId, node, at, seq }: Event): MapState["runs"] {
  const run = runs.get(runId ?? "");
  if (!run || node === null || Date.parse(at) <= run.read.at) return runs;
  if (run.claims.some((claim) => claim.seq === seq)) return runs;
  const claims = [...run.claims, { seq, node }].sort((one, other) => one.seq - other.seq);
  const path = withoutRepeats([...run.read.path, ...claims.map((claim) => claim.node)]);
  return withEntry(runs, run.id, { ...run, claims, path, waits: null });
}

const withoutRepeats = (nodes: readonly string[]): string[] =>
  nodes.filter((node, index) => node !== nodes[index - 1]);

/** The map without runs that finished more than `FADE_MS` before `at`. */
export function forget(map: MapState, at: number): MapState {
  const until = at - FADE_MS;
  const isOld = ({ finishedAt }: MapRun) => finishedAt !== null && Date.parse(finishedAt) < until;
  const old = new Set([...map.runs.values()].filter(isOld).map(({ id }) => id));
  if (old.size === 0) return map;
  return {
    nodes: map.nodes,
    runs: new Map([...map.runs].filter(([id]) => !old.has(id))),
    jobs: new Map([...map.jobs].filter(([, { runId }]) => runId === null || !old.has(runId))),
  };
}

function withEntry<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  key: Key,
  value: Value,
): ReadonlyMap<Key, Value> {
  return new Map(map).set(key, value);
}

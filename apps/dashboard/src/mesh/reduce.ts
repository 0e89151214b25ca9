import type { Event } from "@loom/hub/client";
import {
  isFinal,
  type JobState,
  type Mesh,
  type MeshJob,
  type MeshNode,
  type MeshRun,
  type RunStatus,
} from "./mesh.ts";
import { sayReason } from "./say-reason.ts";

/** How long what is finished is still shown, by the events' own clock. */
export const GHOST_MS = 30_000;

/** How a node is after an event of it. */
const CONDITIONS: Partial<Record<Event["type"], Partial<Pick<MeshNode, "online" | "status">>>> = {
  "node.hello": { online: true },
  "node.dead": { online: false },
  "node.paused": { status: "paused" },
  "node.draining": { status: "draining" },
  "node.resumed": { status: "active" },
};

/**
 * The mesh after an event. Reads no clock and changes nothing that it is given.
 *
 * An event that is older than what is known of its job or node changes nothing: those of different
 * transactions may be told in another order than they happened in.
 */
export function reduce(mesh: Mesh, event: Event): Mesh {
  const condition = CONDITIONS[event.type];
  if (condition) return reduceNode(mesh, event, condition);
  if (event.type === "run.started") return reduceRun(mesh, event, "running");
  if (event.type === "run.finished") {
    return reduceRun(forget(mesh, Date.parse(event.at)), event, event.state as RunStatus);
  }
  if (event.jobId === null) return mesh;
  const next = reduceJob(mesh, event, event.jobId);
  return event.type === "job.claimed" ? { ...next, runs: walk(next.runs, event) } : next;
}

function reduceNode(
  mesh: Mesh,
  { node: name, seq, at }: Event,
  condition: Partial<Pick<MeshNode, "online" | "status">>,
): Mesh {
  if (name === null) return mesh;
  const known = mesh.nodes.get(name) ?? unknownNode(name);
  if (known.seq >= seq) return mesh;
  const node = { ...known, ...condition, seq, at: Date.parse(at) };
  return { ...mesh, nodes: withEntry(mesh.nodes, name, node) };
}

const unknownNode = (name: string): MeshNode => ({
  name,
  online: false,
  status: "active",
  slots: 1,
  capabilities: [],
  isHub: false,
  seq: 0,
  at: 0,
});

function reduceRun(mesh: Mesh, { runId, at, detail }: Event, status: RunStatus): Mesh {
  if (runId === null) return mesh;
  const known = mesh.runs.get(runId);
  // It was read as finished before the event of its start was told.
  if (status === "running" && known && known.status !== "running") return mesh;
  const run: MeshRun = {
    id: runId,
    workflow: known?.workflow ?? (status === "running" ? detail : null),
    status,
    path: known?.path ?? [],
    claims: known?.claims ?? [],
    read: known?.read ?? { path: [], at: 0 },
    createdAt: known?.createdAt ?? at,
    finishedAt: status === "running" ? null : at,
  };
  return { ...mesh, runs: withEntry(mesh.runs, runId, run) };
}

function reduceJob(mesh: Mesh, event: Event, id: number): Mesh {
  const { runId, seq, state: given } = event;
  const known = mesh.jobs.get(id);
  if (known && (known.seq >= seq || isFinal(known.state))) return mesh;
  const state = (given ?? known?.state ?? "waiting") as JobState;
  const workflow = known?.workflow ?? mesh.runs.get(runId ?? "")?.workflow ?? null;
  const job: MeshJob = {
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
  const jobs = withEntry(mesh.jobs, id, job);
  return { ...mesh, jobs };
}

/** The event has the code; what it is in this case is read a moment later. */
function reasonAfter({ type, detail }: Event, known: MeshJob | undefined): string | null {
  if (type === "job.waiting" && detail !== null) return sayReason(detail);
  return known?.state === "waiting" ? known.reason : null;
}

/** A job that waits has no node; one that is finished keeps the one where it ran. */
function nodeAfter({ node }: Event, state: JobState, known: MeshJob | undefined): string | null {
  if (state === "waiting" || state === "skipped") return null;
  return node ?? known?.node ?? null;
}

/**
 * A run goes on at a node. Claims are told in almost the order in which they were made, and those that
 * were made before the run was read are in what was read.
 */
function walk(runs: Mesh["runs"], { runId, node, at, seq }: Event): Mesh["runs"] {
  const run = runs.get(runId ?? "");
  if (!run || node === null || Date.parse(at) <= run.read.at) return runs;
  if (run.claims.some((claim) => claim.seq === seq)) return runs;
  const claims = [...run.claims, { seq, node }].sort((one, other) => one.seq - other.seq);
  const path = withoutRepeats([...run.read.path, ...claims.map((claim) => claim.node)]);
  return withEntry(runs, run.id, { ...run, claims, path });
}

const withoutRepeats = (nodes: readonly string[]): string[] =>
  nodes.filter((node, index) => node !== nodes[index - 1]);

/** Without what was finished long ago. */
export function forget(mesh: Mesh, at: number): Mesh {
  const until = at - GHOST_MS;
  const isOld = ({ finishedAt }: MeshRun) => finishedAt !== null && Date.parse(finishedAt) < until;
  const old = new Set([...mesh.runs.values()].filter(isOld).map(({ id }) => id));
  if (old.size === 0) return mesh;
  return {
    nodes: mesh.nodes,
    runs: new Map([...mesh.runs].filter(([id]) => !old.has(id))),
    jobs: new Map([...mesh.jobs].filter(([, { runId }]) => runId === null || !old.has(runId))),
  };
}

function withEntry<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  key: Key,
  value: Value,
): ReadonlyMap<Key, Value> {
  return new Map(map).set(key, value);
}

import type { Event } from "@loom/client";
import type { JobState, MapNode, MapState } from "./map-state.ts";

/** The meaning of a pulse, which decides its colour and form. */
export type PulseKind =
  | "dispatch"
  | "start"
  | "success"
  | "failure"
  | "retry"
  | "lost"
  | "back"
  | "stop"
  | "join"
  | "leave"
  | "hold"
  | "wait";

/** The way of a pulse: along a thread, or as a ring around one place. */
type Route = "last-to-node" | "node-to-waiting" | "at-node" | "at-waiting" | "at-job";

interface JobTransition {
  /** The job's state before the event. */
  readonly before: JobState;
  readonly pulse?: readonly [PulseKind, Route];
}

/**
 * Events of jobs. The state after an event is in the event itself. `job.created` is missing: before it
 * the job did not exist.
 */
export const JOB_TRANSITIONS: Partial<Record<Event["type"], JobTransition>> = {
  "job.ready": { before: "blocked" },
  "job.suspended": { before: "blocked" },
  "job.resumed": { before: "suspended" },
  "job.woken": { before: "suspended" },
  "job.skipped": { before: "blocked" },
  "job.waiting": { before: "waiting", pulse: ["wait", "at-waiting"] },
  "job.offered": { before: "waiting", pulse: ["dispatch", "last-to-node"] },
  "job.cancelled": { before: "waiting", pulse: ["stop", "at-job"] },
  "job.expired": { before: "waiting", pulse: ["failure", "at-waiting"] },
  "job.refused": { before: "waiting", pulse: ["failure", "at-waiting"] },
  "job.mapped": { before: "mapping" },
  "job.claimed": { before: "pending", pulse: ["start", "at-node"] },
  "job.declined": { before: "pending", pulse: ["back", "node-to-waiting"] },
  "job.offer_expired": { before: "pending", pulse: ["back", "node-to-waiting"] },
  "job.settled": { before: "running", pulse: ["retry", "node-to-waiting"] },
  "job.requeued": { before: "running", pulse: ["lost", "node-to-waiting"] },
  "job.cancel_requested": { before: "running" },
};

type NodeCondition = Partial<Pick<MapNode, "online" | "status">>;

interface NodeTransition {
  readonly before: NodeCondition;
  readonly after: NodeCondition;
  readonly pulse: PulseKind;
}

/** Events of nodes, with what each changes. */
export const NODE_TRANSITIONS: Partial<Record<Event["type"], NodeTransition>> = {
  "node.hello": { before: { online: false }, after: { online: true }, pulse: "join" },
  "node.dead": { before: { online: true }, after: { online: false }, pulse: "leave" },
  "node.paused": { before: { status: "active" }, after: { status: "paused" }, pulse: "hold" },
  "node.draining": { before: { status: "active" }, after: { status: "draining" }, pulse: "hold" },
  "node.resumed": { before: { status: "paused" }, after: { status: "active" }, pulse: "join" },
};

/** One recorded event as the map shows it. */
export interface Pulse {
  readonly kind: PulseKind;
  /** Null is the waiting area. The same as `to` for an event in one place. */
  readonly from: string | null;
  readonly to: string | null;
  readonly runId: string | null;
  readonly seq: number;
}

/**
 * The pulse of an event, given the map before it. Undefined for an event that moves nothing, and for
 * one that is older than what the map shows of its job.
 */
export function pulseOf(before: MapState, event: Event): Pulse | undefined {
  const { type, node, runId, jobId, seq, state } = event;
  const job = jobId === null ? undefined : before.jobs.get(jobId);
  if (job && job.seq >= seq) return undefined;
  const [kind, route] = kindAndRouteOf(event) ?? [];
  /** Where the run was last; the waiting area before its first step. */
  const last = before.runs.get(runId ?? "")?.path.at(-1) ?? null;
  const pulse = (kind: PulseKind, from: string | null, to: string | null): Pulse => ({
    kind,
    from,
    to,
    runId,
    seq,
  });
  if (type === "job.created" || type === "job.ready") {
    // A pinned step is never offered: its node knows of it as soon as it may run.
    const pinned = node ?? job?.node ?? null;
    return state === "pending" && pinned ? pulse("dispatch", last, pinned) : undefined;
  }
  if (kind === undefined) return undefined;
  switch (route) {
    case "last-to-node":
      return pulse(kind, last, node);
    case "node-to-waiting":
      return pulse(kind, node, null);
    case "at-waiting":
      return pulse(kind, null, null);
    case "at-job":
      return pulse(kind, job?.node ?? null, job?.node ?? null);
    default:
      return pulse(kind, node, node);
  }
}

function kindAndRouteOf({ type, state }: Event): readonly [PulseKind, Route] | undefined {
  const node = NODE_TRANSITIONS[type];
  if (node) return [node.pulse, "at-node"];
  const ended = type === "job.settled" ? ENDINGS[state ?? ""] : undefined;
  return ended ? [ended, "at-node"] : JOB_TRANSITIONS[type]?.pulse;
}

/** How an attempt ended. After an attempt with any other state the step is tried again. */
const ENDINGS: Readonly<Record<string, PulseKind>> = {
  succeeded: "success",
  failed: "failure",
  cancelled: "stop",
};

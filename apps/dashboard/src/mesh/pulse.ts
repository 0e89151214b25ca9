import type { Event } from "@loom/hub/client";
import type { Mesh } from "./mesh.ts";

/** What a pulse looks like. */
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

/** One recorded event, seen on the map. */
export interface Pulse {
  readonly kind: PulseKind;
  /** Null is the knot of waiting work. The same as `to` for what happens in one place. */
  readonly from: string | null;
  readonly to: string | null;
  readonly runId: string | null;
  readonly seq: number;
}

/** How an attempt ended; with any other state the step is tried again. */
const SETTLED: Readonly<Record<string, PulseKind>> = {
  succeeded: "success",
  failed: "failure",
  cancelled: "stop",
};

/**
 * What an event looks like on the map, which is as it was before it; undefined for what changes
 * nothing that moves.
 */
export function pulseOf(before: Mesh, event: Event): Pulse | undefined {
  const { node, runId, jobId, seq, state } = event;
  const job = jobId === null ? undefined : before.jobs.get(jobId);
  if (job && job.seq >= seq) return undefined;
  const travel = (kind: PulseKind, from: string | null, to: string | null): Pulse => ({
    kind,
    from,
    to,
    runId,
    seq,
  });
  const here = (kind: PulseKind) => travel(kind, node, node);
  /** Where the run was last; the knot before its first step. */
  const last = before.runs.get(runId ?? "")?.path.at(-1) ?? null;
  const settled = SETTLED[state ?? ""];
  switch (event.type) {
    case "job.offered":
      return travel("dispatch", last, node);
    case "job.created":
    case "job.ready": {
      // A pinned step is not offered: its node knows of it as soon as it may run.
      const pinned = node ?? job?.node ?? null;
      return state === "pending" && pinned ? travel("dispatch", last, pinned) : undefined;
    }
    case "job.claimed":
      return here("start");
    case "job.settled":
      return settled ? here(settled) : travel("retry", node, null);
    case "job.requeued":
      return travel("lost", node, null);
    case "job.offer_expired":
    case "job.declined":
      return travel("back", node, null);
    case "job.expired":
      return travel("failure", null, null);
    case "job.cancelled":
      return travel("stop", job?.node ?? null, job?.node ?? null);
    case "job.waiting":
      return travel("wait", null, null);
    case "node.hello":
    case "node.resumed":
      return here("join");
    case "node.paused":
    case "node.draining":
      return here("hold");
    case "node.dead":
      return here("leave");
    default:
      return undefined;
  }
}

import type { QueueEvent } from "../event.ts";

/** The newest claim of a job. */
interface Claim {
  node: string;
  epoch: number;
  fence: number;
  at: Date;
}

/** What the events before one say of its job. */
export interface JobSoFar {
  /** Null: not created yet. */
  state: string | null;
  pinnedTo: string | null;
  offeredTo: string | null;
  claim: Claim | null;
  /** 0: none. */
  settledFence: number;
  /** How often it was given back because its node was lost. */
  losses: number;
  isCancelRequested: boolean;
}

/** A node's session, as the events so far say. */
interface SessionSoFar {
  epoch: number;
  isDead: boolean;
}

/** An event, and what was known before it. */
export interface Moment {
  event: QueueEvent;
  /** Null where the event is of no job. */
  job: JobSoFar | null;
  /** Of the event's node; null where it has none, or never said hello. */
  session: SessionSoFar | null;
}

const UNKNOWN: JobSoFar = {
  state: null,
  pinnedTo: null,
  offeredTo: null,
  claim: null,
  settledFence: 0,
  losses: 0,
  isCancelRequested: false,
};

/** Follows events in order, believing each of them: rules judge, this only keeps account. */
export function follow(events: readonly QueueEvent[]): Moment[] {
  const jobs = new Map<number, JobSoFar>();
  const sessions = new Map<string, SessionSoFar>();
  return events.map((event) => {
    const session = event.node === null ? null : (sessions.get(event.node) ?? null);
    const next = sessionAfter(event);
    if (next && event.node !== null) sessions.set(event.node, next);
    if (event.jobId === null) return { event, job: null, session };

    const job = jobs.get(event.jobId) ?? UNKNOWN;
    jobs.set(event.jobId, jobAfter(job, event));
    return { event, job, session };
  });
}

function sessionAfter({ type, epoch }: QueueEvent): SessionSoFar | null {
  if (type !== "node.hello" && type !== "node.dead") return null;
  return { epoch: epoch ?? 0, isDead: type === "node.dead" };
}

function jobAfter(before: JobSoFar, { type, state, node, epoch, fence, at }: QueueEvent): JobSoFar {
  const job = { ...before, state };
  switch (type) {
    case "job.created":
      return { ...job, pinnedTo: node };
    case "job.offered":
      return { ...job, offeredTo: node };
    case "job.claimed":
      return {
        ...job,
        offeredTo: null,
        claim: { node: node ?? "", epoch: epoch ?? 0, fence: fence ?? 0, at },
      };
    case "job.cancel_requested":
      return { ...job, isCancelRequested: true };
    case "job.settled":
      return { ...job, offeredTo: null, settledFence: fence ?? 0 };
    case "job.requeued":
      return { ...job, offeredTo: null, losses: job.losses + 1 };
    default:
      return { ...job, offeredTo: null };
  }
}

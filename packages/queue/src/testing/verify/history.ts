import type { QueueEvent } from "../../history/events.ts";
import type { Queue } from "../../queue.ts";

/**
 * Reads all events from the beginning on.
 *
 * Events that an open transaction holds back are missing, and so may be their
 * consequences. For `verifyHistory`, read when no transaction is open.
 */
export async function readHistory(queue: Pick<Queue, "readEvents">): Promise<QueueEvent[]> {
  const events: QueueEvent[] = [];
  let after: string | null = null;
  for (;;) {
    const page = await queue.readEvents({ after, limit: 5_000 });
    if (page.events.length === 0) return events;
    events.push(...page.events);
    after = page.cursor;
  }
}

/** Facts besides the events. A rule without its facts finds nothing. */
export interface HistoryOptions {
  jobs?: readonly KnownJob[];
  /** The ids that `enqueue` (a number) and `startRun` (a string) acknowledged. */
  accepted?: readonly (number | string)[];
  /** Whether all work is done, so that every job must be final. */
  drained?: boolean;
}

/** One job's events. */
export interface JobHistory {
  id: number;
  runId: string | null;
  /** The step that it is an item of. */
  itemOf: number | null;
  moments: readonly Moment[];
  /** The event that first brought it to a final state. */
  end: QueueEvent | null;
  /** The state after its last event. */
  state: string | null;
  known: KnownJob | undefined;
}

/** One run's own events, and its jobs. */
export interface RunHistory {
  id: string;
  started: readonly QueueEvent[];
  finished: readonly QueueEvent[];
  jobs: readonly JobHistory[];
  /** Its own events and those of its jobs, in order. */
  events: readonly QueueEvent[];
}

/** A history in the order in which it happened, by job and by run. */
export interface History {
  moments: readonly Moment[];
  jobs: ReadonlyMap<number, JobHistory>;
  runs: ReadonlyMap<string, RunHistory>;
  options: HistoryOptions;
}

const FINAL = new Set(["succeeded", "failed", "cancelled", "skipped"]);

/** Whether nothing may follow this state of a job. */
export const isFinal = (state: string | null): boolean => state !== null && FINAL.has(state);

/** The transaction that wrote an event: the first part of its cursor. */
export const transactionOf = ({ cursor }: QueueEvent): string => cursor.split(".", 1)[0] ?? cursor;

/**
 * Puts events in order. Numbers are given under the locks that order the changes: of one
 * job, of one node's sessions, of the steps of one run and of the claims under one
 * concurrency key, the one that happened first has the smaller number.
 */
export function toHistory(events: readonly QueueEvent[], options: HistoryOptions = {}): History {
  const moments = follow(events.toSorted((a, b) => a.seq - b.seq));
  const known = new Map(options.jobs?.map((job) => [job.id, job]));

  const jobs = new Map<number, JobHistory>();
  for (const [id, of] of Map.groupBy(moments, ({ event }) => event.jobId)) {
    if (id === null) continue;
    jobs.set(id, {
      id,
      runId: of[0]?.event.runId ?? null,
      itemOf: itemOf(of[0]?.event),
      moments: of,
      end: of.find(({ event }) => isFinal(event.state))?.event ?? null,
      state: of.at(-1)?.event.state ?? null,
      known: known.get(id),
    });
  }

  const jobsOf = Map.groupBy(jobs.values(), ({ runId }) => runId);
  const runs = new Map<string, RunHistory>();
  for (const [id, of] of Map.groupBy(moments, ({ event }) => event.runId)) {
    if (id === null) continue;
    const own = of.map(({ event }) => event);
    runs.set(id, {
      id,
      started: own.filter(({ type }) => type === "run.started"),
      finished: own.filter(({ type }) => type === "run.finished"),
      jobs: jobsOf.get(id) ?? [],
      events: own,
    });
  }
  return { moments, jobs, runs, options };
}

/** An item's first event names its step. */
function itemOf(first: QueueEvent | undefined): number | null {
  const step = first?.type === "job.created" ? /^item of (\d+)$/.exec(first.detail ?? "") : null;
  return step === null ? null : Number(step[1]);
}

/** The facts of a job that the history lacks, from the caller's own list or from the job's row. */
export interface KnownJob {
  id: number;
  runId?: string | null;
  step?: string;
  /** The steps of the same run that it needs. */
  after?: readonly string[];
  runsAfter?: "success" | "failure" | "always";
  isOptional?: boolean;
  cascades?: boolean;
  hasCondition?: boolean;
  /** Of a step that no node runs: for what it waits, and how long a sleep is. */
  waitsFor?: string | null;
  sleepMs?: number | null;
  concurrencyKey?: string | null;
  concurrencyLimit?: number | null;
  maxCrashRestarts?: number;
  /** Of a step that maps over a list: how many items it has, how many may fail, and how many may run at once. */
  items?: { total: number | null; tolerated: number | null; concurrency: number | null } | null;
  /** The state of its row, after the last event. */
  state?: string;
}

/** The newest claim of a job. */
interface Claim {
  node: string;
  epoch: number;
  fence: number;
  at: Date;
}

/** The state of a job before an event, according to earlier events. */
export interface JobSoFar {
  /** Null before the job is created. */
  state: string | null;
  pinnedTo: string | null;
  offeredTo: string | null;
  claim: Claim | null;
  /** The fence that was settled last; 0 if there is none. */
  settledFence: number;
  /** How often it was given back because its node was lost. */
  losses: number;
  isCancelRequested: boolean;
  /** When it was suspended last. */
  suspendedAt: Date | null;
}

/** A node's session, according to the events so far. */
interface SessionSoFar {
  epoch: number;
  isDead: boolean;
}

/** An event, and the state before it. */
export interface Moment {
  event: QueueEvent;
  /** Null if the event concerns no job. */
  job: JobSoFar | null;
  /** The session of the event's node; null if the event has no node, or the node never said hello. */
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
  suspendedAt: null,
};

/** Applies events in order, and accepts each of them: the rules find the violations. */
function follow(events: readonly QueueEvent[]): Moment[] {
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
  const suspendedAt = state === "suspended" ? at : before.suspendedAt;
  const job = { ...before, state, suspendedAt };
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

/** Looks for violations of one promise. */
export type Rule = (history: History) => Iterable<Breach>;

/** A rule about job events of some types (or of any type), each with the state before it. */
export function atJobEvents(
  types: readonly QueueEvent["type"][],
  check: (
    job: JobSoFar,
    event: QueueEvent,
    moment: Moment,
    known: KnownJob | undefined,
  ) => string | undefined,
): Rule {
  return function* ({ moments, jobs }) {
    for (const moment of moments) {
      const { event, job } = moment;
      if (job === null || (types.length > 0 && !types.includes(event.type))) continue;
      const known = event.jobId === null ? undefined : jobs.get(event.jobId)?.known;
      const message = check(job, event, moment, known);
      if (message !== undefined) yield breachAt(event, message);
    }
  };
}

/** A violation: the broken rule, a description, and the place. */
export interface Violation<Name extends string = string> {
  rule: Name;
  message: string;
  jobId?: number;
  runId?: string;
  node?: string;
  /** The number of the event that shows it. */
  seq?: number;
}

/** A broken rule; its name is added from the table that lists it. */
export type Breach = Omit<Violation, "rule">;

/** A breach at one event. */
export function breachAt(event: QueueEvent, message: string): Breach {
  const { jobId, runId, node, seq } = event;
  return {
    message: `${event.type}: ${message}`,
    ...(jobId !== null && { jobId }),
    ...(runId !== null && { runId }),
    ...(node !== null && { node }),
    seq,
  };
}

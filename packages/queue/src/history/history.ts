import type { QueueEvent } from "../event.ts";
import type { KnownJob } from "./known-job.ts";
import { follow, type Moment } from "./moment.ts";

/** What is known besides the events. Rules that need what is not given find nothing. */
export interface HistoryOptions {
  jobs?: readonly KnownJob[];
  /** What `enqueue` (a number) and `startRun` (a string) acknowledged. */
  accepted?: readonly (number | string)[];
  /** Nothing is left to do: every job must be final. */
  drained?: boolean;
}

/** One job's events. */
export interface JobHistory {
  id: number;
  runId: string | null;
  moments: readonly Moment[];
  /** The event that first brought it to a final state. */
  end: QueueEvent | null;
  /** After its last event. */
  state: string | null;
  known: KnownJob | undefined;
}

/** One run's own events, and its jobs. */
export interface RunHistory {
  id: string;
  started: readonly QueueEvent[];
  finished: readonly QueueEvent[];
  jobs: readonly JobHistory[];
  /** Its own and its jobs', in order. */
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

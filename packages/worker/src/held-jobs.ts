import type { ClaimedJob } from "@loom/queue";
import { type AttemptDeps, attempt, type Declined, type Slot } from "./attempt.ts";
import { LeaseLostError, ShutdownError } from "./outcome.ts";
import type { KnownStep, RunningJob } from "./worker.ts";

/** A job that a worker holds: from its claim until its code has ended and its outcome is settled. */
export interface HeldJob {
  job: ClaimedJob;
  /** The reason of its abort decides the outcome. */
  stop: AbortController;
  slot: Slot;
  /** Never fails. */
  ended: Promise<void>;
}

/** How long an attempt whose lease was lost may take to end before it counts as stuck. */
const STUCK_AFTER_MS = 15_000;

/** How long a prefetched job may wait for its turn before it goes back. Its node is busy for longer than expected. */
const PREFETCHED_MS = 10_000;

/** The jobs that a worker holds. */
export interface HeldJobs {
  readonly size: number;
  /** The number of jobs that take a slot: whose code has not ended, or whose outcome is not settled. */
  readonly taken: number;
  /** Whether a job could begin at once. */
  readonly isIdle: boolean;
  list(): HeldJob[];
  /** The attempt of this job whose code has not ended, if there is one. */
  find(jobId: number): HeldJob | undefined;
  /**
   * Whether an attempt whose lease was lost is still ending. Its job has gone back and must not return
   * before the attempt has ended. An attempt that does not end in time is stuck and no longer counts.
   */
  isEndingLost(): boolean;
  /**
   * Runs the step that `find` returns as soon as fewer than `concurrency` run. An error of `find` fails the attempt,
   * and a stop before the beginning decides its outcome.
   */
  start(job: ClaimedJob, find: () => KnownStep | Declined): HeldJob;
  /** Gives the job back. */
  decline(job: ClaimedJob, reason: string): HeldJob;
  /** Aborts all jobs that are held now, each with its own reason. */
  stopAll(reasonFor: (job: ClaimedJob) => Error): void;
  /** Gives the jobs back that have not begun. */
  stopWaiting(reason: string): void;
  /** Resolves when all jobs that are held now have ended. */
  ended(): Promise<void>;
  describe(): RunningJob[];
}

interface Held extends HeldJob, Pick<RunningJob, "progress"> {
  startedAt: Date;
  lostAt: number | undefined;
  /** Ends the wait of a job that has not begun, with whether it may begin; undefined when it does not wait. */
  begin: ((isItsTurn: boolean) => void) | undefined;
}

/**
 * Creates an empty set of held jobs.
 *
 * @param deps.concurrency - How many jobs run at once. Others wait for their turn.
 * @param deps.onSlotFree - Called when a slot became free otherwise than by an outcome that was settled.
 * @param deps.onEnded - Called when a job is not held any more.
 * @param deps.onOverdue - Called when a job that had not begun in time goes back.
 */
export function createHeldJobs({
  concurrency,
  wallClock,
  onSlotFree,
  onEnded,
  onOverdue,
  ...deps
}: Omit<AttemptDeps, "signal" | "onProgress" | "slot" | "onCodeEnded"> & {
  concurrency: number;
  wallClock: () => number;
  onSlotFree: () => void;
  onEnded: () => void;
  onOverdue: () => void;
}): HeldJobs {
  // Not a map by job: a lost or retried job may return before its old attempt has ended.
  const held = new Set<Held>();
  const waiting: Held[] = [];
  let running = 0;

  function hold(job: ClaimedJob, begin: (entry: Held) => Promise<void>): HeldJob {
    const entry: Held = {
      job,
      stop: new AbortController(),
      startedAt: new Date(wallClock()),
      progress: null,
      lostAt: undefined,
      slot: { isOver: false, isSent: false, isSettled: false },
      begin: undefined,
      ended: Promise.resolve(),
    };
    held.add(entry);
    const { signal } = entry.stop;
    signal.addEventListener("abort", () => {
      if (signal.reason instanceof LeaseLostError) entry.lostAt = performance.now();
    });
    entry.ended = begin(entry).then(() => {
      held.delete(entry);
      if (!isFree(entry)) onSlotFree();
      onEnded();
    });
    return entry;
  }

  /**
   * Waits until fewer than `concurrency` run, the job is stopped, or the wait has taken too long.
   *
   * @returns Whether it is the job's turn.
   */
  function turn(entry: Held): Promise<boolean> {
    return new Promise((resolve) => {
      const { stop } = entry;
      const timer = setTimeout(() => {
        onOverdue();
        stop.abort(new ShutdownError(`the machine was busy for ${PREFETCHED_MS / 1_000} s`));
      }, PREFETCHED_MS);
      const onAbort = () => entry.begin?.(false);
      entry.begin = (isItsTurn) => {
        clearTimeout(timer);
        stop.signal.removeEventListener("abort", onAbort);
        entry.begin = undefined;
        resolve(isItsTurn);
      };
      stop.signal.addEventListener("abort", onAbort);
      waiting.push(entry);
    });
  }

  function release(): void {
    running -= 1;
    while (running < concurrency) {
      const next = waiting.shift();
      if (!next) return;
      if (!next.begin) continue;
      running += 1;
      next.begin(true);
    }
  }

  const run = (entry: Held, find: () => KnownStep | Declined, onOver = () => {}) => {
    const { id: jobId, fence, runId, workflow, step: name, attempt: number } = entry.job;
    return attempt(entry.job, find, {
      ...deps,
      slot: entry.slot,
      onCodeEnded() {
        entry.slot.isOver = true;
        if (entry.slot.isSettled) onSlotFree();
        onOver();
      },
      onProgress(progress) {
        entry.progress = progress;
      },
      signal: entry.stop.signal,
      log: deps.log.child({ jobId, fence, runId, workflow, step: name, attempt: number }),
    });
  };

  return {
    get size() {
      return held.size;
    },

    get isIdle() {
      return running < concurrency;
    },

    get taken() {
      return [...held].filter((entry) => !isFree(entry)).length;
    },

    list: () => [...held],

    find: (jobId) => [...held].find((entry) => entry.job.id === jobId && !entry.slot.isOver),

    isEndingLost: () =>
      [...held].some(
        ({ lostAt }) => lostAt !== undefined && performance.now() - lostAt < STUCK_AFTER_MS,
      ),

    start: (job, find) =>
      hold(job, async (entry) => {
        if (running < concurrency) running += 1;
        else {
          if (!(await turn(entry))) return run(entry, find);
          entry.startedAt = new Date(wallClock());
        }
        await run(entry, find, release);
      }),

    decline: (job, reason) => hold(job, (entry) => run(entry, () => ({ declined: reason }))),

    stopAll(reasonFor) {
      for (const { job, stop } of held) stop.abort(reasonFor(job));
    },

    stopWaiting(reason) {
      for (const { begin, stop } of waiting.splice(0)) {
        if (begin) stop.abort(new ShutdownError(reason));
      }
    },

    async ended() {
      await Promise.all([...held].map(({ ended }) => ended));
    },

    describe: () =>
      [...held].map(({ job, startedAt, progress }) => {
        const { id, fence, runId, workflow, step, attempt: number } = job;
        return { id, fence, runId, workflow, step, attempt: number, startedAt, progress };
      }),
  };
}

const isFree = ({ slot }: Held): boolean => slot.isOver && slot.isSettled;

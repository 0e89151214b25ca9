import type { ClaimedJob } from "@loom/queue";
import type { Step } from "@loom/workflow";
import { type AttemptDeps, attempt } from "./attempt.ts";
import type { Declined } from "./find-step.ts";
import type { Progress } from "./run-step.ts";
import type { RunningJob } from "./worker.ts";

/** A job that a worker holds: from its claim until its code has ended. */
export interface HeldJob {
  job: ClaimedJob;
  /** Its reason is what the attempt comes to. */
  stop: AbortController;
  /** Never fails. */
  ended: Promise<void>;
}

/** The jobs that a worker holds, each of which takes a slot. */
export interface HeldJobs {
  readonly size: number;
  /** Those that are held now. */
  list(): HeldJob[];
  /** Runs a job's step, or gives the job back. */
  start(job: ClaimedJob, step: Step | Declined): HeldJob;
  /** Aborts all that are held now, each with a reason of its own. */
  stopAll(reasonFor: (job: ClaimedJob) => Error): void;
  /** Resolves when all that are held now have ended. */
  ended(): Promise<void>;
  describe(): RunningJob[];
}

/**
 * Creates the jobs of a worker, of which there are none yet.
 *
 * @param deps.onEnded - Called when a slot is free again.
 */
export function createHeldJobs({
  wallClock,
  onEnded,
  ...deps
}: Omit<AttemptDeps, "signal" | "onProgress"> & {
  wallClock: () => number;
  onEnded: () => void;
}): HeldJobs {
  // Not by job: a job that was lost or retried may come back before its old attempt ended.
  const held = new Set<HeldJob & Pick<RunningJob, "startedAt" | "progress">>();

  return {
    get size() {
      return held.size;
    },

    list: () => [...held],

    start(job, step) {
      const stop = new AbortController();
      const { id: jobId, fence, runId, workflow, step: name, attempt: number } = job;
      const entry = {
        job,
        stop,
        startedAt: new Date(wallClock()),
        progress: null as Progress | null,
        ended: Promise.resolve(),
      };
      held.add(entry);
      entry.ended = attempt(job, step, {
        ...deps,
        onProgress(progress) {
          entry.progress = progress;
        },
        signal: stop.signal,
        log: deps.log.child({ jobId, fence, runId, workflow, step: name, attempt: number }),
      }).then(() => {
        held.delete(entry);
        onEnded();
      });
      return entry;
    },

    stopAll(reasonFor) {
      for (const { job, stop } of held) stop.abort(reasonFor(job));
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

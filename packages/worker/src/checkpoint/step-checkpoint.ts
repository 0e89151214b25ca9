import type { ClaimedJob } from "@loom/queue";
import { type JsonValue, limits, type Step, type StepContext, type StepLog } from "@loom/workflow";
import { CheckpointRefusedError, InvalidCheckpointError } from "../outcome.ts";
import { keepLatest } from "./latest.ts";
import { toStoredJson } from "./stored-json.ts";

/** Of checkpoints that come faster, only the latest is stored. */
const EVERY_MS = 200;

/** The part of a step's context that is about its checkpoint. */
export interface StepCheckpoint extends Pick<StepContext, "checkpoint" | "checkpointed"> {
  /** Nothing is kept from here on. If the step did not succeed, what still waits is stored, for its next attempt. */
  end(options: { succeeded: boolean }): void;
}

/**
 * Creates it for one attempt.
 *
 * @param store - Gives a checkpoint to the agent, and resolves when the database has it.
 */
export function createCheckpoint(
  job: Pick<ClaimedJob, "checkpoint">,
  step: Pick<Step, "checkpoint">,
  {
    store,
    signal,
    log,
  }: { store: (json: string) => Promise<void>; signal: AbortSignal; log: StepLog },
): StepCheckpoint {
  const latest = keepLatest(store, { everyMs: EVERY_MS });
  let isOver = false;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  aborted.catch(() => {});

  return {
    checkpointed: read(job.checkpoint, step, log),

    checkpoint(value) {
      const json = toStoredJson(value, {
        what: "the checkpoint",
        verb: "keep",
        maxBytes: limits.checkpointBytes,
        refuse: (message, options) => new InvalidCheckpointError(message, options),
      });
      const stored = isOver
        ? Promise.reject(new CheckpointRefusedError("the step has ended"))
        : Promise.race([latest.save(json), aborted]);
      // A step that does not wait for it goes on.
      stored.catch(() => {});
      return stored;
    },

    end({ succeeded }) {
      isOver = true;
      const last = latest.take();
      // It is on its way to the agent before the step's outcome is.
      if (last !== undefined && !succeeded) store(last).catch(() => {});
    },
  };
}

/** A checkpoint of an older version of the step may not fit any more: then there is none. */
function read(
  kept: JsonValue | undefined,
  { checkpoint: schema }: Pick<Step, "checkpoint">,
  log: StepLog,
): JsonValue | undefined {
  if (kept === undefined || !schema) return kept;
  const parsed = schema.safeParse(kept);
  if (parsed.success) return parsed.data as JsonValue;
  log.warn({}, "the checkpoint does not fit the step's schema: the step begins anew");
  return undefined;
}

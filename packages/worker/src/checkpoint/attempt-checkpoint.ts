import { type Queue, QueueUnavailableError } from "@loom/queue";
import { reconnectDelayMs, slowestMsFor } from "../loop.ts";
import { CheckpointRefusedError } from "../outcome.ts";
import { sleep } from "../wait.ts";
import { keepLatest, type Latest } from "./latest.ts";

/**
 * Sends the checkpoints of one attempt to the queue, one call at a time, until the queue answers. Repeating a call whose
 * answer was lost changes nothing.
 *
 * @param options.revalidate - Checks that the lease still holds after a silence.
 * @param options.giveUp - Ends the retries.
 */
export function createAttemptCheckpoint(
  claim: { node: string; id: number; fence: number },
  {
    queue,
    revalidate,
    giveUp,
  }: {
    queue: Pick<Queue, "saveCheckpoint">;
    revalidate: () => Promise<void>;
    giveUp: AbortSignal;
  },
): Latest {
  let seq = 0;
  return keepLatest(
    async (json) => {
      seq += 1;
      for (let failures = 1; ; failures += 1) {
        try {
          await revalidate();
          const answer = await queue.saveCheckpoint(claim, { seq, json });
          if (answer === "accepted") return;
          throw new CheckpointRefusedError(
            answer === "stale" || answer === "unknown"
              ? "this attempt is over, and another one may have begun"
              : `the database cannot store it: ${answer}`,
          );
        } catch (error) {
          if (!(error instanceof QueueUnavailableError)) throw error;
          await sleep(reconnectDelayMs(failures, { maxMs: slowestMsFor(error) }), {
            signal: giveUp,
          });
          if (giveUp.aborted) throw error;
        }
      }
    },
    { everyMs: 0 },
  );
}

import { type ClaimedJob, type Queue, QueueUnavailableError, type Settlement } from "@loom/queue";
import { reconnectDelayMs } from "./backoff.ts";
import { createBell } from "./bell.ts";
import type { Outcome } from "./classify.ts";
import type { Log } from "./log.ts";

/**
 * Writes an attempt's outcome down, again and again until it is answered: repeating
 * a settle whose answer was lost is answered `duplicate`.
 *
 * @param options.giveUp - Ends the trying; the job then goes back when the lease ends.
 */
export async function settle(
  job: ClaimedJob,
  outcome: Outcome,
  { queue, node, giveUp, log }: { queue: Queue; node: string; giveUp: AbortSignal; log: Log },
): Promise<void> {
  if (outcome.outcome === "lost") {
    log.warn({}, "lease was lost: the attempt settles nothing");
    return;
  }
  const item: Settlement = { id: job.id, fence: job.fence, ...outcome };
  const answer = await untilAnswered(() => queue.settle(node, [item]), { giveUp, log });
  switch (answer?.[0]?.answer) {
    case "accepted":
    case "salvaged":
    case "duplicate":
      log.info({ outcome: outcome.outcome, answer: answer[0].answer }, "attempt settled");
      return;
    case "too_large": {
      const error = {
        name: "ResultTooLargeError",
        code: "RESULT_TOO_LARGE",
        message: "a step's result holds at most 1 MiB: store it elsewhere and return a reference",
      };
      await settle(
        job,
        { outcome: "failed", error, retryable: false },
        { queue, node, giveUp, log },
      );
      return;
    }
    default:
      log.warn({ outcome: outcome.outcome, answer: answer?.[0]?.answer }, "settle was refused");
  }
}

async function untilAnswered<Answer>(
  call: () => Promise<Answer>,
  { giveUp, log }: { giveUp: AbortSignal; log: Log },
): Promise<Answer | undefined> {
  const never = createBell();
  for (let failures = 1; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof QueueUnavailableError) || giveUp.aborted) {
        log.error({ err: error }, "outcome could not be settled");
        return undefined;
      }
      log.warn({ err: error, failures }, "settle was not answered: trying again");
      await never.wait(reconnectDelayMs(failures), giveUp);
    }
  }
}

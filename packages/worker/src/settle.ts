import { type ClaimedJob, type Queue, QueueUnavailableError, type Settlement } from "@loom/queue";
import { reconnectDelayMs } from "./backoff.ts";
import { createBell } from "./bell.ts";
import type { Outcome } from "./classify.ts";
import type { Log } from "./log.ts";

export interface SettleDeps {
  queue: Pick<Queue, "settle">;
  node: string;
  /** Ends the trying; the job then goes back when the lease ends. */
  giveUp: AbortSignal;
  log: Log;
}

/**
 * Writes an attempt's outcome down, again and again until it is answered: repeating
 * a settle whose answer was lost is answered `duplicate`.
 *
 * @throws What the queue throws, unless it is that nobody answered.
 */
export async function settle(job: ClaimedJob, outcome: Outcome, deps: SettleDeps): Promise<void> {
  if (outcome.outcome === "lost") {
    deps.log.warn({}, "lease was lost: the attempt settles nothing");
    return;
  }
  const answer = await untilAnswered({ id: job.id, fence: job.fence, ...outcome }, deps);
  if (answer !== "too_large" && answer !== "invalid") return;
  // The job is still this node's, and nobody else would end it before its deadline.
  const error = {
    name: "OutcomeRefusedError",
    code: "OUTCOME_REFUSED",
    message: `the attempt ${outcome.outcome}, which the database cannot record: ${answer}`,
  };
  await untilAnswered(
    { id: job.id, fence: job.fence, outcome: "failed", error, retryable: false },
    deps,
  );
}

async function untilAnswered(
  item: Settlement,
  { queue, node, giveUp, log }: SettleDeps,
): Promise<string | undefined> {
  const { outcome } = item;
  const never = createBell();
  let failures = 0;
  do {
    try {
      const [settled] = await queue.settle(node, [item]);
      const answer = settled?.answer;
      const isRecorded = answer === "accepted" || answer === "salvaged" || answer === "duplicate";
      if (isRecorded) log.info({ outcome, answer }, "attempt settled");
      else log.warn({ outcome, answer }, "settle was refused");
      return answer;
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
      failures += 1;
      log.warn({ failures, err: error }, "settle was not answered");
      await never.wait(reconnectDelayMs(failures), giveUp);
    }
  } while (!giveUp.aborted);
  log.error({ outcome }, "outcome was not settled before the worker stopped");
  return undefined;
}

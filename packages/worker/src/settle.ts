import { type Queue, QueueUnavailableError, type Settlement } from "@loom/queue";
import { reconnectDelayMs } from "./backoff.ts";
import { createBell } from "./bell.ts";
import type { Log } from "./log.ts";

export interface SettleDeps {
  queue: Pick<Queue, "settle">;
  node: string;
  /** Makes sure that the lease was not lost unnoticed; fails when the database does not answer. */
  revalidate: () => Promise<void>;
  /** Ends the trying; the job then goes back when the lease ends. */
  giveUp: AbortSignal;
  log: Log;
}

/** What became of an outcome. */
export type Settled = "recorded" | "refused" | "unanswered";

/**
 * Writes an attempt's outcome down, again and again until it is answered: repeating
 * a settle whose answer was lost is answered `duplicate`.
 *
 * @throws What the queue throws, unless it is that nobody answered.
 */
export async function settle(item: Settlement, deps: SettleDeps): Promise<Settled> {
  const answer = await untilAnswered(item, deps);
  if (answer !== "too_large" && answer !== "invalid") return toSettled(answer);
  // The job is still this node's, and nobody else would end it before its deadline.
  const { id, fence, outcome } = item;
  const error = {
    name: "OutcomeRefusedError",
    code: "OUTCOME_REFUSED",
    message: `the attempt ${outcome}, which the database cannot record: ${answer}`,
  };
  await untilAnswered({ id, fence, outcome: "failed", error, retryable: false }, deps);
  return "refused";
}

function toSettled(answer: string | undefined): Settled {
  if (answer === undefined) return "unanswered";
  return isRecorded(answer) ? "recorded" : "refused";
}

const isRecorded = (answer: string): boolean =>
  answer === "accepted" || answer === "salvaged" || answer === "duplicate";

async function untilAnswered(
  item: Settlement,
  { queue, node, revalidate, giveUp, log }: SettleDeps,
): Promise<string | undefined> {
  const { outcome } = item;
  const never = createBell();
  let failures = 0;
  do {
    try {
      await revalidate();
      const [settled] = await queue.settle(node, [item]);
      const answer = settled?.answer ?? "unknown";
      if (isRecorded(answer)) log.info({ outcome, answer }, "attempt settled");
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

import { QueueUnavailableError } from "@loom/queue";

/**
 * Waits for an answer of the database, but not longer than `ms`: for probes, whose callers time out before the
 * queue does. A frozen database counts as unavailable like one that refuses connections.
 *
 * @throws QueueUnavailableError `timeout` after `ms`.
 */
export async function answerWithin<Answer>(ms: number, answer: Promise<Answer>): Promise<Answer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new QueueUnavailableError("probe", "timeout", `no answer in ${ms} ms`)),
    ms,
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

import { QueueUnavailableError } from "@loom/queue";

/**
 * What the database answers, if it does so in time: for those who look how things are, and who give a
 * question up before the queue does. One that is frozen is away as much as one that is gone.
 *
 * @throws QueueUnavailableError `timeout` after `ms`.
 */
export async function answerWithin<Answer>(ms: number, answer: Promise<Answer>): Promise<Answer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new QueueUnavailableError("look", "timeout", `no answer in ${ms} ms`)),
    ms,
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

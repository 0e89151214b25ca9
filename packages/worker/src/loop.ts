// The pauses of loops: their own pace while the database answers, and a slower one while it does
// not.
import { QueueUnavailableError } from "@loom/queue";
import type { Log } from "./log.ts";
import { sleep, type Waker } from "./wait.ts";

/**
 * Repeats a round of calls to the queue until the signal aborts. It pauses as `pause` says, and
 * ever longer while the database does not answer.
 *
 * @param options.maxDelayMs - The longest delay while the database does not answer. Default 15 000,
 * or 60 000 when a person has to act first.
 * @param options.hurry - Ends such a delay early when it is woken.
 * @throws What `round` throws, except QueueUnavailableError.
 */
export async function repeat(
  { round, pause }: { round: () => Promise<void>; pause: () => Promise<unknown> },
  {
    signal,
    log,
    maxDelayMs,
    hurry,
  }: { signal: AbortSignal; log: Log; maxDelayMs?: number; hurry?: Waker },
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await round();
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
      failures += 1;
      log.warn({ failures, err: error }, "the database did not answer");
      const ms = reconnectDelayMs(failures, { maxMs: maxDelayMs ?? slowestMsFor(error) });
      await (hurry ? hurry.wait(ms, signal) : sleep(ms, { signal }));
      continue;
    }
    if (failures > 0) log.info({ failures }, "the database answers again");
    failures = 0;
    await pause();
  }
}

const FIRST_MS = 250;
const MAX_MS = 15_000;
/** A paused project, or one over its quota, waits for a person: frequent calls are useless. */
const MAX_ADVISED_MS = 60_000;

/** The longest delay between calls that fail with this error. */
export const slowestMsFor = ({ advice }: Pick<QueueUnavailableError, "advice">): number =>
  advice === undefined ? MAX_MS : MAX_ADVISED_MS;

/**
 * The delay after `failures` unanswered calls in a row: random, up to a limit that doubles ("full
 * jitter"), so that nodes that lost the database together do not come back together.
 */
export function reconnectDelayMs(
  failures: number,
  {
    maxMs = MAX_MS,
    random = Math.random,
  }: { maxMs?: number | undefined; random?: () => number } = {},
): number {
  return Math.min(maxMs, FIRST_MS * 2 ** (failures - 1)) * random();
}

/** Each wait is this much longer than the one before, while there is nothing to do. */
const GROWTH = 1.5;

/**
 * The delay before the next poll for jobs, after `emptyPolls` polls in a row that brought none. It
 * grows from `pollMs` to `maxPollMs` and varies by a quarter, so that nodes do not poll in step.
 */
export const pollDelayMs = (
  emptyPolls: number,
  { pollMs, maxPollMs, random = Math.random }: PollPace & { random?: () => number },
): number => Math.min(maxPollMs, pollMs * GROWTH ** emptyPolls) * (0.75 + random() / 2);

/** How often a worker polls, in milliseconds. */
interface PollPace {
  /** After a poll that brought a job. */
  pollMs: number;
  /** After many polls that brought none. */
  maxPollMs: number;
}

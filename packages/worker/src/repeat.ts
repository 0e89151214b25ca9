import { QueueUnavailableError } from "@loom/queue";
import { reconnectDelayMs } from "./backoff.ts";
import { createBell } from "./bell.ts";
import type { Log } from "./log.ts";

/**
 * Repeats a round of calls to the queue until the signal aborts: at the pace of
 * `pause`, and more and more slowly while the database does not answer.
 *
 * @param options.maxDelayMs - The slowest pace while it does not answer; default 15 000.
 * @throws What `round` throws, unless it is that the database did not answer.
 */
export async function repeat(
  { round, pause }: { round: () => Promise<void>; pause: () => Promise<unknown> },
  { signal, log, maxDelayMs }: { signal: AbortSignal; log: Log; maxDelayMs?: number },
): Promise<void> {
  const never = createBell();
  let failures = 0;
  while (!signal.aborted) {
    try {
      await round();
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
      failures += 1;
      log.warn({ failures, err: error }, "the database did not answer");
      await never.wait(reconnectDelayMs(failures, { maxMs: maxDelayMs }), signal);
      continue;
    }
    if (failures > 0) log.info({ failures }, "the database answers again");
    failures = 0;
    await pause();
  }
}

import { setTimeout as sleep } from "node:timers/promises";
import { QueueUnavailableError } from "@loom/queue";

const MIN_PAUSE_MS = 10;
const MAX_PAUSE_MS = 400;

/** Calls until somebody answers: what every client of the queue does about a lost answer. */
export async function persist<Answer>(
  call: () => Promise<Answer>,
  signal?: AbortSignal,
): Promise<Answer> {
  for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
      await sleep(pauseMs, undefined, signal ? { signal } : {});
    }
  }
}

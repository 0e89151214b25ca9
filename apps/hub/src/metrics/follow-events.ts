import type { QueueEvent } from "@loom/queue";
import { type Log, repeat } from "@loom/worker";
import type { EventFeed } from "../events/event-feed.ts";

/** How long to wait for events at a time. */
const WAIT_MS = 60_000;

/**
 * Tells of every event from now on, over the one reader that streams have too, until the signal
 * aborts. What happened while the database was away is told when it is back.
 */
export function followEvents(
  { feed, onEvent, log }: { feed: EventFeed; onEvent: (event: QueueEvent) => void; log: Log },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let after: string | undefined;

  async function listen(): Promise<void> {
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    try {
      const { position, next } = await feed.subscribe({
        after,
        matches: () => true,
        onLost: () => lost.abort(),
        signal: over,
      });
      after ??= position;
      while (!over.aborted) {
        const events = await next(WAIT_MS);
        if (typeof events === "string") {
          log.warn({}, "more happened than can be counted");
          after = position;
          continue;
        }
        for (const event of events) onEvent(event);
        after = events.at(-1)?.cursor ?? after;
      }
    } finally {
      lost.abort();
    }
  }

  return repeat({ round: listen, pause: async () => {} }, { signal, log });
}

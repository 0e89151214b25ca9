import type { QueueEvent } from "../event.ts";
import type { Queue } from "../queue.ts";

/**
 * Reads all events from the beginning on.
 *
 * What a transaction that is still open holds back is not among them, and what follows
 * from it may be missing too: for `verifyHistory`, read when nothing is under way.
 */
export async function readHistory(queue: Pick<Queue, "readEvents">): Promise<QueueEvent[]> {
  const events: QueueEvent[] = [];
  let after: string | null = null;
  for (;;) {
    const page = await queue.readEvents({ after, limit: 5_000 });
    if (page.events.length === 0) return events;
    events.push(...page.events);
    after = page.cursor;
  }
}

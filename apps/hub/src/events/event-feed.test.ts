import { setImmediate } from "node:timers/promises";
import { type Queue, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";
import { expect, test } from "vitest";
import { createEventFeed } from "./event-feed.ts";

test("a past that cannot be read is the fault of one listener: the others go on where they are", async () => {
  const asked: unknown[] = [];
  const queue = {
    async readEvents({ after }: { after?: string | null } = {}) {
      asked.push(after);
      return { events: [], cursor: "7.0" };
    },
    async findEventCursor(): Promise<never> {
      throw new QueueUnavailableError("loom_find_event_cursor", "timeout", "no answer in time");
    },
  };
  const feed = createEventFeed({
    queue: queue as unknown as Queue,
    log: pino({ level: "silent" }),
  });
  const stop = new AbortController();
  const listener = { matches: () => true, onLost: () => {}, signal: stop.signal };
  await feed.subscribe(listener);
  await expect(feed.subscribe({ ...listener, pastMs: 60_000 })).rejects.toThrow(
    QueueUnavailableError,
  );
  await feed.subscribe(listener);
  expect(feed.size).toBe(2);
  // One loop, which began once.
  feed.ring();
  await setImmediate();
  expect(asked).toEqual(["now", "7.0", "7.0"]);
  stop.abort();
  feed.ring();
});

import { setImmediate } from "node:timers/promises";
import { type Queue, type QueueEvent, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";
import { expect, test } from "vitest";
import { createFaults } from "../control/faults.ts";
import { followEvents } from "../metrics/count-events.ts";
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
  feed.wake();
  await setImmediate();
  expect(asked).toEqual(["now", "7.0", "7.0"]);
  stop.abort();
  feed.wake();
});

test("a listener that throws is let go, and the others get the event all the same", async () => {
  const pages: QueueEvent[][] = [];
  const queue = {
    async readEvents({ after }: { after?: string | null } = {}) {
      const events = after === "now" ? [] : (pages.shift() ?? []);
      return { events, cursor: events.at(-1)?.cursor ?? null };
    },
  };
  const stop = new AbortController();
  const faults = createFaults({ log: pino({ level: "silent" }) });
  const feed = createEventFeed({
    queue: queue as unknown as Queue,
    log: pino({ level: "silent" }),
    faults,
  });
  const lost: string[] = [];
  const listen = (name: string, matches: () => boolean) =>
    feed.subscribe({ matches, onLost: () => lost.push(name), signal: stop.signal });
  // The bad one comes first: those behind it would get nothing.
  await Promise.all([
    listen("bad", () => {
      throw new Error("what a listener looks for cannot be read");
    }),
    listen("good", () => true).then(async ({ next }) => {
      pages.push([event(1)], [event(2)]);
      feed.wake();
      expect(await next(10_000)).toMatchObject([{ seq: 1 }]);
      feed.wake();
      expect(await next(10_000)).toMatchObject([{ seq: 2 }]);
    }),
  ]);
  expect(lost).toEqual(["bad"]);
  expect(feed.size).toBe(1);
  expect(faults.recent()).toMatchObject([
    { loop: "events", message: "what a listener looks for cannot be read", count: 1 },
  ]);
  stop.abort();
  feed.wake();
});

test("an event that cannot be counted is left out, and the others are counted", async () => {
  // The first time it looks, nothing has happened since it began.
  const pages = [[], [event(1), event(2), event(3)]];
  const queue = {
    async readEvents({ after }: { after?: string | null } = {}) {
      const events = after === "now" ? [] : (pages.shift() ?? []);
      return { events, cursor: events.at(-1)?.cursor ?? null };
    },
  };
  const log = pino({ level: "silent" });
  const faults = createFaults({ log });
  const stop = new AbortController();
  const counted: number[] = [];
  const third = Promise.withResolvers<void>();
  const following = followEvents(
    {
      feed: createEventFeed({ queue: queue as unknown as Queue, log, faults }),
      onEvent({ seq }) {
        if (seq === 2) throw new Error("no such counter");
        counted.push(seq);
        if (seq === 3) third.resolve();
      },
      faults,
      log,
    },
    { signal: stop.signal },
  );
  await third.promise;
  stop.abort();
  await following;
  expect(counted).toEqual([1, 3]);
  expect(faults.recent()).toMatchObject([{ loop: "events", message: "no such counter" }]);
});

const event = (seq: number): QueueEvent => ({
  cursor: `7.${seq}`,
  seq,
  at: new Date(0),
  type: "node.hello",
  runId: null,
  jobId: null,
  state: null,
  node: "forge",
  epoch: 1,
  fence: null,
  detail: null,
});

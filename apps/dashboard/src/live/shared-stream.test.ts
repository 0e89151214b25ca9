import type { Event } from "@loom/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createSharedStream, type Follow, type StreamMessage } from "./shared-stream.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const event = (seq: number): Event =>
  ({ seq, type: "node.hello", at: new Date().toISOString() }) as unknown as Event;

/** A hub whose streams a test writes to. */
function fakeHub() {
  const opened: {
    send: (name: string, data?: unknown) => void;
    fail: () => void;
    isOver: () => boolean;
  }[] = [];
  const follow = async function* ({ signal, onConnection }: Parameters<Follow>[0] = {}) {
    const queue: unknown[] = [];
    let wake = () => {};
    let failure: Error | undefined;
    signal?.addEventListener("abort", () => wake());
    opened.push({
      send(name, data = {}) {
        queue.push({ id: "1", event: name, data });
        wake();
      },
      fail() {
        failure = new Error("refused");
        wake();
      },
      isOver: () => signal?.aborted ?? false,
    });
    onConnection?.(true);
    for (;;) {
      signal?.throwIfAborted();
      if (failure) throw failure;
      if (queue.length > 0) yield queue.shift();
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } as Follow;
  return { follow, opened };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

function listener() {
  const received: string[] = [];
  return {
    received,
    send(message: StreamMessage) {
      if (message.type === "state") received.push(message.state);
      else if (message.type === "event")
        received.push(`${message.event.seq}${message.isPast ? " past" : ""}`);
      else received.push(message.type);
    },
  };
}

describe("a shared stream", () => {
  test("opens once for any number of listeners, and repeats the past for a later one", async () => {
    const { follow, opened } = fakeHub();
    const stream = createSharedStream({ follow, pastMs: 60_000 });
    const [first, second] = [listener(), listener()];
    stream.add(first.send);
    await settle();
    opened[0]?.send("node.hello", event(1));
    opened[0]?.send("now");
    opened[0]?.send("node.hello", event(2));
    await settle();
    stream.add(second.send);
    opened[0]?.send("node.hello", event(3));
    await settle();
    expect(opened).toHaveLength(1);
    expect(first.received).toEqual(["connecting", "live", "start", "1 past", "now", "2", "3"]);
    expect(second.received).toEqual(["live", "start", "1 past", "2 past", "now", "3"]);
  });

  test("closes a moment after the last listener has left, unless one comes back in time", async () => {
    const { follow, opened } = fakeHub();
    const stream = createSharedStream({ follow, pastMs: 60_000, lingerMs: 1_000 });
    const leave = stream.add(listener().send);
    await settle();
    leave();
    await vi.advanceTimersByTimeAsync(900);
    const leaveAgain = stream.add(listener().send);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(opened.map(({ isOver }) => isOver())).toEqual([false]);
    leaveAgain();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(opened.map(({ isOver }) => isOver())).toEqual([true]);
    const back = listener();
    stream.add(back.send);
    await settle();
    expect(opened).toHaveLength(2);
    expect(back.received).toEqual(["connecting", "live", "start"]);
  });

  test("reports a refusal, and tries again", async () => {
    const { follow, opened } = fakeHub();
    const stream = createSharedStream({ follow, pastMs: 60_000 });
    const { received, send } = listener();
    stream.add(send);
    await settle();
    opened[0]?.fail();
    await settle();
    expect(received.at(-1)).toBe("refused");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(received.slice(-3)).toEqual(["connecting", "live", "start"]);
  });
});

import { getEventListeners } from "node:events";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createPlaces, createWaker } from "./wait.ts";

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

/** Waits, and tells whether that is over. */
function waiting(waker: ReturnType<typeof createWaker>, ms: number, signal: AbortSignal) {
  const state = { isOver: false };
  const done = waker.wait(ms, signal).then(() => {
    state.isOver = true;
  });
  return { state, done };
}

describe("createWaker", () => {
  test("wakes a waiter when it is woken, and leaves neither timer nor listener", async () => {
    const { signal } = new AbortController();
    const waker = createWaker();
    const { done } = waiting(waker, 60_000, signal);
    expect(vi.getTimerCount()).toBe(1);
    waker.wake();
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("wakes a waiter when the signal aborts, and leaves no timer", async () => {
    const stop = new AbortController();
    const { done } = waiting(createWaker(), 60_000, stop.signal);
    stop.abort();
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(stop.signal, "abort")).toHaveLength(0);
  });

  test("wakes a waiter after its time, not earlier, and leaves no listener", async () => {
    const { signal } = new AbortController();
    const { state, done } = waiting(createWaker(), 100, signal);
    await vi.advanceTimersByTimeAsync(99);
    expect(state.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("counts many wake-ups before a wait as one", async () => {
    const { signal } = new AbortController();
    const waker = createWaker();
    for (let wakes = 0; wakes < 3; wakes += 1) waker.wake();
    await waker.wait(60_000, signal);
    const second = waiting(waker, 60_000, signal);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(second.state.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await second.done;
  });

  test("does not wait at all once the signal aborted", async () => {
    await createWaker().wait(60_000, AbortSignal.abort());
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** Work that the test ends, and the order in which it began. */
function start(take: ReturnType<typeof createPlaces>) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (name: string, caller?: string) =>
    take(() => {
      begun.push(name);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    }, caller);
  return { begun, run, end: (name: string) => ends.get(name)?.() };
}

test("as many calls run as there are places, and the others follow in their order", async () => {
  const { begun, run, end } = start(createPlaces({ most: 2 }));
  const calls = ["a", "b", "c", "d"].map((name) => run(name));
  expect(begun).toEqual(["a", "b"]);
  end("b");
  expect(await calls[1]).toBe("b");
  expect(begun).toEqual(["a", "b", "c"]);
  end("a");
  end("c");
  await Promise.all([calls[0], calls[2]]);
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("one caller leaves room for others, and a call that fails leaves its place", async () => {
  const take = createPlaces({ most: 2, each: 1 });
  const { begun, run, end } = start(take);
  const first = run("a", "slow");
  void run("b", "slow");
  void run("c", "other");
  expect(begun).toEqual(["a", "c"]);
  end("a");
  await first;
  expect(begun).toEqual(["a", "c", "b"]);
  const failed = take(() => Promise.reject(new Error("no")), "third");
  end("c");
  await expect(failed).rejects.toThrow("no");
  expect(await take(async () => "free", "third")).toBe("free");
});

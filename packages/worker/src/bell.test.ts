import { getEventListeners } from "node:events";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createBell } from "./bell.ts";

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

/** Waits, and tells whether that is over. */
function waiting(bell: ReturnType<typeof createBell>, ms: number, signal: AbortSignal) {
  const state = { isOver: false };
  const done = bell.wait(ms, signal).then(() => {
    state.isOver = true;
  });
  return { state, done };
}

describe("createBell", () => {
  test("wakes a waiter when it rings, and leaves neither timer nor listener", async () => {
    const { signal } = new AbortController();
    const bell = createBell();
    const { done } = waiting(bell, 60_000, signal);
    expect(vi.getTimerCount()).toBe(1);
    bell.ring();
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("wakes a waiter when the signal aborts, and leaves no timer", async () => {
    const stop = new AbortController();
    const { done } = waiting(createBell(), 60_000, stop.signal);
    stop.abort();
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(stop.signal, "abort")).toHaveLength(0);
  });

  test("wakes a waiter after its time, not earlier, and leaves no listener", async () => {
    const { signal } = new AbortController();
    const { state, done } = waiting(createBell(), 100, signal);
    await vi.advanceTimersByTimeAsync(99);
    expect(state.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("counts many rings before a wait as one", async () => {
    const { signal } = new AbortController();
    const bell = createBell();
    for (let rings = 0; rings < 3; rings += 1) bell.ring();
    await bell.wait(60_000, signal);
    const second = waiting(bell, 60_000, signal);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(second.state.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await second.done;
  });

  test("does not wait at all once the signal aborted", async () => {
    await createBell().wait(60_000, AbortSignal.abort());
    expect(vi.getTimerCount()).toBe(0);
  });
});

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createPollLoop } from "./poll-loop.ts";

const EVERY_MS = 10_000;
const APART_MS = 1_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A loop whose runs end when a test resolves them. */
function heldLoop() {
  const open: (PromiseWithResolvers<number> & { signal: AbortSignal })[] = [];
  const loop = createPollLoop({ apartMs: APART_MS }, (signal) => {
    const run = { ...Promise.withResolvers<number>(), signal };
    open.push(run);
    return run.promise;
  });
  return { loop, open };
}

describe("a poll loop", () => {
  test("runs again and again by itself", async () => {
    const go = vi.fn(async () => EVERY_MS);
    createPollLoop({ apartMs: APART_MS }, go).within(0);
    await vi.advanceTimersByTimeAsync(3.5 * EVERY_MS);
    expect(go).toHaveBeenCalledTimes(4);
  });

  test("runs once for several requests at a time", async () => {
    const go = vi.fn(async () => EVERY_MS);
    const loop = createPollLoop({ apartMs: APART_MS }, go);
    for (let asked = 0; asked < 5; asked += 1) {
      loop.within(300);
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.advanceTimersByTimeAsync(EVERY_MS / 2);
    expect(go).toHaveBeenCalledTimes(1);
  });

  test("keeps its pace however often it is asked, and keeps the minimum time between runs", async () => {
    const go = vi.fn(async () => EVERY_MS);
    const loop = createPollLoop({ apartMs: APART_MS }, go);
    for (let asked = 0; asked < 300; asked += 1) {
      loop.within(300);
      await vi.advanceTimersByTimeAsync(200);
    }
    // In a minute.
    expect(go.mock.calls.length).toBeGreaterThan(40);
    expect(go.mock.calls.length).toBeLessThanOrEqual(61);
  });

  test("runs one at a time, and a request during a run makes another one due as soon as allowed", async () => {
    const { loop, open } = heldLoop();
    loop.within(0);
    await vi.advanceTimersByTimeAsync(0);
    loop.within(0);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(1);
    open[0]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(APART_MS - 1);
    expect(open.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(open.length).toBe(2);
  });

  test("restarts at once, whatever the aborted run resolves with", async () => {
    const { loop, open } = heldLoop();
    loop.within(0);
    await vi.advanceTimersByTimeAsync(0);
    loop.restart();
    await vi.advanceTimersByTimeAsync(0);
    expect(open.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    // The aborted run ends late: it starts no third run beside the second.
    open[0]?.resolve(0);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(2);
    open[1]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(3);
  });

  test("runs only on request if the next run is infinitely far away", async () => {
    const run = vi.fn(async () => Number.POSITIVE_INFINITY);
    const loop = createPollLoop({ apartMs: APART_MS }, run);
    loop.within(0);
    await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
    expect(run).toHaveBeenCalledTimes(1);
    loop.within(0);
    await vi.advanceTimersByTimeAsync(10 * EVERY_MS);
    expect(run).toHaveBeenCalledTimes(2);
  });

  test("stops until it is asked again", async () => {
    const { loop, open } = heldLoop();
    loop.within(0);
    await vi.advanceTimersByTimeAsync(0);
    loop.within(0);
    loop.stop();
    expect(open[0]?.signal.aborted).toBe(true);
    open[0]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(2 * EVERY_MS);
    expect(open.length).toBe(1);
    loop.within(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(open.length).toBe(2);
  });
});

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createRounds } from "./rounds.ts";

const EVERY_MS = 10_000;
const APART_MS = 1_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Rounds that are over when they are told to be. */
function held() {
  const open: (PromiseWithResolvers<number> & { signal: AbortSignal })[] = [];
  const rounds = createRounds({ apartMs: APART_MS }, (signal) => {
    const round = { ...Promise.withResolvers<number>(), signal };
    open.push(round);
    return round.promise;
  });
  return { rounds, open };
}

describe("rounds", () => {
  test("follow each other by themselves", async () => {
    const go = vi.fn(async () => EVERY_MS);
    createRounds({ apartMs: APART_MS }, go).within(0);
    await vi.advanceTimersByTimeAsync(3.5 * EVERY_MS);
    expect(go).toHaveBeenCalledTimes(4);
  });

  test("are one for what is asked for together", async () => {
    const go = vi.fn(async () => EVERY_MS);
    const rounds = createRounds({ apartMs: APART_MS }, go);
    for (let asked = 0; asked < 5; asked += 1) {
      rounds.within(300);
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.advanceTimersByTimeAsync(EVERY_MS / 2);
    expect(go).toHaveBeenCalledTimes(1);
  });

  test("go on however often they are asked for, and no faster than they may", async () => {
    const go = vi.fn(async () => EVERY_MS);
    const rounds = createRounds({ apartMs: APART_MS }, go);
    for (let asked = 0; asked < 300; asked += 1) {
      rounds.within(300);
      await vi.advanceTimersByTimeAsync(200);
    }
    // In a minute.
    expect(go.mock.calls.length).toBeGreaterThan(40);
    expect(go.mock.calls.length).toBeLessThanOrEqual(61);
  });

  test("are one at a time, and what is asked for meanwhile follows as soon as it may", async () => {
    const { rounds, open } = held();
    rounds.within(0);
    await vi.advanceTimersByTimeAsync(0);
    rounds.within(0);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(1);
    open[0]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(APART_MS - 1);
    expect(open.length).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(open.length).toBe(2);
  });

  test("start over at once, whatever becomes of the one that was under way", async () => {
    const { rounds, open } = held();
    rounds.within(0);
    await vi.advanceTimersByTimeAsync(0);
    rounds.startOver();
    await vi.advanceTimersByTimeAsync(0);
    expect(open.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    // The first one is over late: neither is the second followed for that, nor joined by a third.
    open[0]?.resolve(0);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(2);
    open[1]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(EVERY_MS);
    expect(open.length).toBe(3);
  });

  test("stop until they are asked for again", async () => {
    const { rounds, open } = held();
    rounds.within(0);
    await vi.advanceTimersByTimeAsync(0);
    rounds.within(0);
    rounds.stop();
    expect(open[0]?.signal.aborted).toBe(true);
    open[0]?.resolve(EVERY_MS);
    await vi.advanceTimersByTimeAsync(2 * EVERY_MS);
    expect(open.length).toBe(1);
    rounds.within(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(open.length).toBe(2);
  });
});

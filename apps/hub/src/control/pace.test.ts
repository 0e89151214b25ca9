import { describe, expect, test } from "vitest";
import { createPace, type Found } from "./pace.ts";

const nothing: Found = {
  dueInMs: null,
  isBusy: false,
  hasOffered: false,
  hasNews: false,
  hasMore: false,
  supply: null,
  hasFollowers: false,
};

/** A pace, and its clock. */
function start() {
  let at = 1_000_000;
  const pace = createPace({ now: () => at });
  return { pace, pass: (ms: number) => (at += ms) };
}

/** The pauses of rounds that follow one another. */
function pauses({ pace, pass }: ReturnType<typeof start>, found: Partial<Found>, count: number) {
  return Array.from({ length: count }, () => {
    const { ms } = pace.afterLed({ ...nothing, ...found });
    pass(ms);
    return ms;
  });
}

describe("the pace of rounds", () => {
  test("slows down within two minutes while nothing happens, and not further", () => {
    const alone = start();
    const rests = pauses(alone, {}, 60);
    expect(rests[0]).toBe(1_000);
    expect(rests).toEqual(rests.toSorted((a, b) => a - b));
    expect(rests.at(-1)).toBe(10_000);
    const untilRest = rests.filter((ms) => ms < 10_000).reduce((sum, ms) => sum + ms, 0);
    expect(untilRest).toBeLessThanOrEqual(130_000);
  });

  test("is quick again after a wake-up or news", () => {
    const alone = start();
    pauses(alone, {}, 60);
    alone.pace.wake();
    expect(pauses(alone, {}, 1)).toEqual([1_000]);
    pauses(alone, {}, 60);
    expect(pauses(alone, { hasNews: true }, 1)).toEqual([1_000]);
  });

  test("makes no job wait a twelfth longer than nothing had happened, beyond 1 s", () => {
    const alone = start();
    let quietMs = 0;
    for (const ms of pauses(alone, {}, 60)) {
      expect(ms).toBeLessThanOrEqual(Math.max(1_000, quietMs / 12));
      quietMs += ms;
    }
  });

  test.for([
    { hasFollowers: true, leaseMs: 6_000, pauseMs: 2_000 },
    { hasFollowers: false, leaseMs: 15_000, pauseMs: 10_000 },
  ])("keeps the lead: %o", ({ hasFollowers, leaseMs, pauseMs }) => {
    const hub = start();
    for (let count = 0; count < 60; count += 1) {
      const asked = hub.pace.leaseMs();
      const [ms = 0] = pauses(hub, { hasFollowers }, 1);
      expect(ms).toBeLessThan(asked);
    }
    expect(hub.pace.leaseMs()).toBe(leaseMs);
    expect(pauses(hub, { hasFollowers }, 1)).toEqual([pauseMs]);
  });

  test("is quick at once when another hub appears, and does not outlast the shorter lease", () => {
    const hub = start();
    pauses(hub, {}, 60);
    expect(pauses(hub, { hasFollowers: true }, 1)).toEqual([2_000]);
    expect(hub.pace.leaseMs()).toBe(6_000);
    // The shorter lease was asked for, so the last hub that left does not make this pause longer.
    expect(pauses(hub, {}, 1)).toEqual([2_000]);
    expect(pauses(hub, {}, 1)).toEqual([10_000]);
  });

  test("believes another hub that made itself known, for a minute", () => {
    const hub = start();
    pauses(hub, {}, 60);
    hub.pace.noteFollower();
    expect(pauses(hub, {}, 30)).toEqual(Array(30).fill(2_000));
    expect(pauses(hub, {}, 2)).toEqual([2_000, 10_000]);
  });

  test("is in time for what is due", () => {
    const hub = start();
    pauses(hub, {}, 60);
    expect(pauses(hub, { dueInMs: 700 }, 1)).toEqual([702]);
    expect(pauses(hub, { dueInMs: 60_000 }, 1)).toEqual([10_000]);
  });

  test("tries what was left undone again, and ever more rarely", () => {
    const hub = start();
    pauses(hub, {}, 60);
    const overdue = pauses(hub, { dueInMs: -5 }, 12);
    expect(overdue.slice(0, 4)).toEqual([50, 100, 200, 400]);
    expect(overdue.at(-1)).toBe(10_000);
    pauses(hub, { dueInMs: 700 }, 1);
    expect(pauses(hub, { dueInMs: 0 }, 1)).toEqual([50]);
  });

  test("is frequent after an offer while jobs are under way, for 5 s", () => {
    const hub = start();
    expect(pauses(hub, { hasOffered: true, hasNews: true, isBusy: true }, 1)).toEqual([200]);
    expect(pauses(hub, { isBusy: true }, 24).every((ms) => ms === 200)).toBe(true);
    expect(pauses(hub, { isBusy: true }, 1)).toEqual([1_000]);
    pauses(hub, { hasOffered: true, hasNews: true, isBusy: true }, 1);
    expect(pauses(hub, { isBusy: false }, 1)).toEqual([1_000]);
  });

  test("does not pause while there is more to place", () => {
    expect(pauses(start(), { hasOffered: true, hasMore: true }, 1)).toEqual([0]);
  });

  test("lets wake-ups wait for as long as what the nodes may take by themselves lasts", () => {
    const { pace } = start();
    const spacingMs = (supply: Found["supply"]) => pace.afterLed({ ...nothing, supply }).spacingMs;
    expect(spacingMs({ open: 24, opened: 24 })).toBe(10);
    const lasting = Array.from({ length: 5 }, () => spacingMs({ open: 24, opened: 6 }));
    expect(lasting).toEqual([20, 40, 80, 160, 160]);
    expect(spacingMs({ open: 24, opened: 9 })).toBe(160);
    expect(spacingMs({ open: 24, opened: 13 })).toBe(80);
    expect(spacingMs({ open: 24, opened: 0 })).toBe(160);
    expect(spacingMs(null)).toBe(10);
  });

  test.for([
    { expiresInMs: 5_000, pauseMs: 2_000 },
    { expiresInMs: 700, pauseMs: 701 },
    { expiresInMs: 0, pauseMs: 1 },
  ])("asks for another hub's lead when it ends: %o", ({ expiresInMs, pauseMs }) => {
    expect(start().pace.afterFollowing(expiresInMs)).toEqual({ ms: pauseMs, spacingMs: 10 });
  });
});

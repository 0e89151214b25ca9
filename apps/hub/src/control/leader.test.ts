import { setImmediate } from "node:timers/promises";
import { type Lead, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createLeader, type Leader } from "./leader.ts";

const leaseMs = 6_000;
const log = pino({ level: "silent" });
const taken: Lead = {
  leading: true,
  holder: "me",
  epoch: 3,
  expiresInMs: leaseMs,
  wakeServer: null,
};
const others: Lead = { ...taken, leading: false, holder: "other", expiresInMs: 5 };

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());
const pass = (ms: number) => vi.advanceTimersByTime(ms);

/** A leader, and what it resigned. */
function start() {
  const resigned: number[] = [];
  const leader = createLeader({
    holder: "me",
    log,
    queue: { resign: async (_holder, epoch) => void resigned.push(epoch) },
  });
  const note = (lead: Lead, askedAt = performance.now()) => leader.note(lead, { askedAt, leaseMs });
  return { leader, resigned, note };
}

/** The epoch, or undefined when it does not lead at the moment. */
const epochNow = ({ whenLeading }: Leader) =>
  Promise.race([whenLeading(), setImmediate(undefined)]);

describe("createLeader", () => {
  test("leads until the lease has run out, without being notified", async () => {
    const { leader, note } = start();
    note(taken);
    expect(await leader.whenLeading()).toBe(3);
    pass(leaseMs - 1);
    expect(await epochNow(leader)).toBe(3);
    pass(1);
    expect(await epochNow(leader)).toBeUndefined();
  });

  test("knows where the one that leads is woken, until it leads itself", async () => {
    const { leader, note } = start();
    expect(leader.isFollower()).toBe(false);
    const wakeServer = {
      name: "forge",
      tailnetAddress: "100.64.0.7",
      wakePort: 7_421,
      boot: null,
    };
    note({ ...others, wakeServer });
    expect(leader.wakeServer()).toEqual(wakeServer);
    expect(leader.isFollower()).toBe(true);
    note(taken);
    expect(await leader.whenLeading()).toBe(3);
    expect(leader.wakeServer()).toBeUndefined();
    expect(leader.isFollower()).toBe(false);
  });

  test("counts the lease from before it asked: the answer may have taken long", async () => {
    const { leader, note } = start();
    const askedAt = performance.now();
    pass(4_000);
    note(taken, askedAt);
    expect(await leader.whenLeading()).toBe(3);
    pass(2_000);
    expect(await epochNow(leader)).toBeUndefined();
  });

  test("lets those wait who need the lead, until it has it", async () => {
    const { leader, note } = start();
    const waiting = leader.whenLeading();
    note(others);
    note({ ...taken, epoch: 4 });
    expect(await waiting).toBe(4);
  });

  test("no longer leads when it learns that it was deposed", async () => {
    const { leader, note, resigned } = start();
    note(taken);
    note(others);
    expect(await epochNow(leader)).toBeUndefined();
    await leader.resign();
    expect(resigned).toEqual([]);
  });

  test("lets nobody wait for a lead that is not kept any more, and has nothing to resign", async () => {
    const { leader, note, resigned } = start();
    note(others);
    const waiting = leader.whenLeading();
    leader.end();
    expect(await waiting).toBeUndefined();
    expect(await leader.whenLeading()).toBeUndefined();
    await leader.resign();
    expect(resigned).toEqual([]);
  });

  test("resigns once", async () => {
    const { leader, note, resigned } = start();
    note(taken);
    const resigning = leader.resign();
    expect(await epochNow(leader)).toBeUndefined();
    await resigning;
    await leader.resign();
    expect(resigned).toEqual([3]);
  });

  test("need not reach the database to resign: the lease runs out by itself", async () => {
    const away = new QueueUnavailableError("loom_resign", "network", "refused");
    const leader = createLeader({
      holder: "me",
      log,
      queue: { resign: () => Promise.reject(away) },
    });
    leader.note(taken, { askedAt: performance.now(), leaseMs });
    await expect(leader.resign()).resolves.toBeUndefined();
  });
});

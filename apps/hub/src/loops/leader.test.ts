import { setImmediate } from "node:timers/promises";
import { type Lead, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createLeader, type Leader } from "./leader.ts";

const LEASE_MS = 6_000;
const log = pino({ level: "silent" });
const taken: Lead = {
  leading: true,
  holder: "me",
  epoch: 3,
  expiresInMs: LEASE_MS,
  doorbell: null,
};
const away = new QueueUnavailableError("loom_lead", "network", "refused");

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());
const pass = (ms: number) => vi.advanceTimersByTime(ms);

/** A hub whose first question is answered so, and what it resigned. */
function ask(answer: () => Lead, ...later: (() => Lead)[]) {
  const answers = [answer, ...later];
  const stop = new AbortController();
  const resigned: number[] = [];
  const leader = createLeader({
    holder: "me",
    leaseMs: LEASE_MS,
    log,
    queue: {
      async lead() {
        const next = answers.shift();
        if (!next) throw away;
        return next();
      },
      async resign(_holder, epoch) {
        resigned.push(epoch);
      },
    },
  });
  const kept = leader.keep({ signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await kept;
  });
  return { leader, resigned, stop, kept };
}

/** The epoch, or undefined when it does not lead at the moment. */
const epochNow = ({ whenLeading }: Leader) =>
  Promise.race([whenLeading(), setImmediate(undefined)]);

describe("createLeader", () => {
  test("leads until the lease has run out, which nobody has to tell it", async () => {
    const { leader } = ask(() => taken);
    expect(await leader.whenLeading()).toBe(3);
    pass(LEASE_MS - 1);
    expect(await epochNow(leader)).toBe(3);
    pass(1);
    expect(await epochNow(leader)).toBeUndefined();
  });

  test("knows where the one that leads is rung, until it leads itself", async () => {
    const doorbell = { name: "forge", tailnetAddress: "100.64.0.7", doorbellPort: 7_421 };
    const { leader } = ask(
      () => ({ ...taken, leading: false, expiresInMs: 0, doorbell }),
      () => taken,
    );
    await setImmediate();
    expect(leader.doorbell()).toEqual(doorbell);
    expect(await leader.whenLeading()).toBe(3);
    expect(leader.doorbell()).toBeUndefined();
  });

  test("counts the lease from before it asked: the answer may have taken long", async () => {
    const { leader } = ask(() => {
      pass(4_000);
      return taken;
    });
    expect(await leader.whenLeading()).toBe(3);
    pass(2_000);
    expect(await epochNow(leader)).toBeUndefined();
  });

  test("asks again when the other's lease runs out, and leads when it gets it", async () => {
    const other = { ...taken, leading: false, holder: "other", expiresInMs: 5 };
    const { leader } = ask(
      () => other,
      () => ({ ...taken, epoch: 4 }),
    );
    expect(await leader.whenLeading()).toBe(4);
  });

  test("lets nobody wait for a lead that is not kept any more, and has nothing to resign", async () => {
    const { leader, resigned, stop } = ask(() => ({ ...taken, leading: false, holder: "other" }));
    const waiting = leader.whenLeading();
    stop.abort();
    expect(await waiting).toBeUndefined();
    expect(await leader.whenLeading()).toBeUndefined();
    await leader.resign();
    expect(resigned).toEqual([]);
  });

  test("resigns once", async () => {
    const { leader, resigned } = ask(() => taken);
    await leader.whenLeading();
    const resigning = leader.resign();
    expect(await epochNow(leader)).toBeUndefined();
    await resigning;
    await leader.resign();
    expect(resigned).toEqual([3]);
  });

  test("need not reach the database to resign: the lease runs out by itself", async () => {
    const leader = createLeader({
      holder: "me",
      log,
      queue: { lead: async () => taken, resign: () => Promise.reject(away) },
    });
    const stop = new AbortController();
    const kept = leader.keep({ signal: stop.signal });
    expect(await leader.whenLeading()).toBe(3);
    stop.abort();
    await kept;
    await expect(leader.resign()).resolves.toBeUndefined();
  });
});

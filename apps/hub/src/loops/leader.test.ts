import { type Lead, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createLeader } from "./leader.ts";
import { whileLeading } from "./while-leading.ts";

const LEASE_MS = 6_000;
const log = pino({ level: "silent" });
const taken: Lead = { leading: true, holder: "me", epoch: 3, expiresInMs: LEASE_MS };
const away = new QueueUnavailableError("loom_lead", "network", "refused");

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());
const pass = (ms: number) => vi.advanceTimersByTime(ms);

/** A leader that asks once for each of these answers. */
async function ask(...answers: (() => Lead)[]) {
  const stop = new AbortController();
  const resigned: number[] = [];
  const led: number[] = [];
  const leader = createLeader({
    holder: "me",
    leaseMs: LEASE_MS,
    log,
    onLead: () => void led.push(led.length),
    queue: {
      async lead() {
        const answer = answers.shift();
        if (answers.length === 0) stop.abort();
        if (!answer) throw away;
        return answer();
      },
      async resign(_holder, epoch) {
        resigned.push(epoch);
      },
    },
  });
  await leader.keep({ signal: stop.signal });
  return { leader, led, resigned };
}

describe("createLeader", () => {
  test("leads until the lease has run out, which nobody has to tell it", async () => {
    const { leader, led } = await ask(() => taken);
    expect(leader.epoch()).toBe(3);
    expect(led).toHaveLength(1);
    pass(LEASE_MS - 1);
    expect(leader.epoch()).toBe(3);
    pass(1);
    expect(leader.epoch()).toBeUndefined();
  });

  test("counts the lease from before it asked: the answer may have taken long", async () => {
    const { leader } = await ask(() => {
      pass(4_000);
      return taken;
    });
    pass(1_999);
    expect(leader.epoch()).toBe(3);
    pass(1);
    expect(leader.epoch()).toBeUndefined();
  });

  test("does not lead while another one does, and has nothing to resign", async () => {
    const { leader, led, resigned } = await ask(() => ({
      ...taken,
      leading: false,
      holder: "you",
    }));
    expect(leader.epoch()).toBeUndefined();
    await leader.resign();
    expect([led, resigned]).toEqual([[], []]);
  });

  test("resigns once, and leads no more from before it asked to", async () => {
    const { leader, resigned } = await ask(() => taken);
    const resigning = leader.resign();
    expect(leader.epoch()).toBeUndefined();
    await resigning;
    await leader.resign();
    expect(resigned).toEqual([3]);
  });

  test("ends also when the database is away, whose lease runs out by itself", async () => {
    const stop = AbortSignal.timeout(0);
    const leader = createLeader({
      holder: "me",
      log,
      queue: { lead: async () => taken, resign: () => Promise.reject(away) },
    });
    await leader.keep({ signal: stop });
    await expect(leader.resign()).resolves.toBeUndefined();
  });
});

describe("whileLeading", () => {
  test("passes a round over while nobody, or another hub, leads", async () => {
    const epochs: number[] = [];
    let epoch: number | undefined;
    const round = whileLeading({ epoch: () => epoch }, async (led) => void epochs.push(led));
    await round();
    epoch = 4;
    await round();
    expect(epochs).toEqual([4]);
  });
});

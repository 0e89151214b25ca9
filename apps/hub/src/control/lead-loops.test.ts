import { QueueAccessError } from "@loom/queue";
import { createWaker } from "@loom/worker";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { createFaults } from "./faults.ts";
import { createLeadLoops, createRoundWaker, createScheduleWaker } from "./lead-loops.ts";
import type { RoundLoop } from "./round.ts";
import type { WaitLoop } from "./waits.ts";

const log = pino({ level: "silent" });

/** The loops of a hub that leads, with other rounds, and another loop of waits. */
function run(rounds: Pick<RoundLoop, "round">, waitLoop: WaitLoop = { round: async () => 60_000 }) {
  const stop = new AbortController();
  const faults = createFaults({ log });
  const leader = { wakeServer: () => undefined, isFollower: () => false };
  const roundWaker = createRoundWaker({ leader, wakeLeader: () => {} });
  const waitWaker = createWaker();
  const loops = createLeadLoops({
    leader: { whenLeading: async () => 1, end: () => {}, resign: async () => {} },
    rounds,
    roundWaker,
    maintenance: { prune: async () => {} },
    scheduleLoop: { round: async () => 60_000 },
    scheduleWaker: createScheduleWaker(),
    deliveryLoop: { round: async () => 60_000 },
    deliveryWaker: createWaker(),
    conditionLoop: { round: async () => 60_000 },
    conditionWaker: createWaker(),
    waitLoop,
    waitWaker,
    notifyLoop: { round: async () => 60_000 },
    notifyWaker: createWaker(),
    faults,
    log,
  });
  const done = Promise.all(loops.run({ signal: stop.signal }));
  done.catch(() => {});
  onTestFinished(async () => {
    stop.abort();
    await done.catch(() => {});
  });
  return { faults, done, roundWaker, waitWaker };
}

describe("the rounds of a hub", () => {
  test("go on after one that failed, and say so", async () => {
    const second = Promise.withResolvers<void>();
    let rounds = 0;
    const { faults } = run({
      async round() {
        rounds += 1;
        if (rounds === 1) throw new TypeError("one row of it is invalid");
        second.resolve();
        return { ms: 60_000, spacingMs: 10 };
      },
    });
    await second.promise;
    expect(faults.recent()).toMatchObject([
      { loop: "round", subject: "round", message: "one row of it is invalid", count: 1 },
    ]);
  });

  test("end when all their work is impossible", async () => {
    const { done } = run({
      round: () => Promise.reject(new QueueAccessError("loom_round", "the key is withdrawn")),
    });
    await expect(done).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });

  test("follow a wake-up at once, and wake-ups that come together cause one", async () => {
    const begun: boolean[] = [];
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const { roundWaker } = run({
      async round({ wasWoken }) {
        begun.push(wasWoken);
        (begun.length === 1 ? first : second).resolve();
        return { ms: 60_000, spacingMs: 10 };
      },
    });
    await first.promise;
    for (let count = 0; count < 5; count += 1) roundWaker.wake();
    await second.promise;
    roundWaker.wakeLeader();
    await expect.poll(() => begun).toEqual([true, true, true]);
  });
});

describe("the other loops of a hub", () => {
  const rounds = { round: async () => ({ ms: 60_000, spacingMs: 10 }) };

  test("learn whether they were woken since their last work that succeeded", async () => {
    const woken: boolean[] = [];
    const { waitWaker } = run(rounds, {
      async round(_epoch, { wasWoken }) {
        woken.push(wasWoken);
        return woken.length < 3 ? 1 : 60_000;
      },
    });
    await expect.poll(() => woken).toEqual([true, false, false]);
    waitWaker.wake();
    await expect.poll(() => woken).toEqual([true, false, false, true]);
  });
});

describe("the waker of rounds", () => {
  const other = { name: "forge", tailnetAddress: "127.0.0.1", wakePort: 7_421, boot: null };

  test("of a hub that does not lead wakes the one that does, and not itself", async () => {
    const woken: string[] = [];
    const waker = createRoundWaker({
      leader: { wakeServer: () => other, isFollower: () => true },
      wakeLeader: ({ name }) => woken.push(name),
    });
    waker.wakeLeader();
    waker.wake();
    expect(woken).toEqual(["forge"]);
    expect(await waker.wait(1, new AbortController().signal)).toBe(false);
  });
});

describe("the waker of schedules", () => {
  const { signal } = new AbortController();
  const quiet = { revision: "1/1", canStart: false };

  test.for([
    { title: "another revision", news: { ...quiet, revision: "1/2" } },
    { title: "a queued run that can start", news: { ...quiet, canStart: true } },
  ])("wakes for $title", async ({ news }) => {
    const waker = createScheduleWaker();
    waker.note(quiet);
    await waker.wait(60_000, signal);
    const waiting = waker.wait(60_000, signal);
    waker.note(quiet);
    waker.note(news);
    await waiting;
  });

  test("wakes when the time has passed while the machine slept", async () => {
    let at = 0;
    const waker = createScheduleWaker({ wallClock: () => at });
    waker.note(quiet);
    await waker.wait(60_000, signal);
    const waiting = waker.wait(60_000, signal);
    at = 61_000;
    waker.note(quiet);
    await waiting;
  });
});

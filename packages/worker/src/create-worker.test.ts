import { getEventListeners } from "node:events";
import { type ClaimedJob, type Queue, QueueUnavailableError, type Settlement } from "@loom/queue";
import { defineWorkflow, type Step } from "@loom/workflow";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { inParts } from "../test/fixtures.ts";
import { recordLog } from "../test/recorded-log.ts";
import { createWorker } from "./create-worker.ts";
import { createInlineRunner } from "./step-process/step-runner.ts";

const DATABASE = "7d0f6a3e-1df2-4a1c-9a7e-7d3c0f8a2b11";

const job: ClaimedJob = {
  id: 7,
  fence: 1,
  runId: "run-1",
  workflow: "deploy",
  version: "v1",
  step: "build",
  requires: [],
  attempt: 1,
  maxAttempts: 1,
  timeoutMs: 3_600_000,
  traceparent: null,
  input: {},
  results: {},
};

/**
 * A worker that runs one job, stopped by `stop`. What takes a real database is in test/;
 * here is what takes a long time.
 */
function working({
  run = async () => "done",
  settle = async () => {},
  heartbeat = async () => {},
  leaseMs = 45_000,
  prefetch = 0,
}: {
  run?: () => Promise<unknown>;
  settle?: (item: Settlement) => Promise<void>;
  heartbeat?: () => Promise<void>;
  leaseMs?: number;
  prefetch?: number;
}) {
  const workflow = defineWorkflow({ name: "deploy" }).step("build", {}, run as Step["run"]);
  const jobs = [job, { ...job, id: 8 }].slice(0, 1 + prefetch);
  const claims: number[] = [];
  const slots: number[] = [];
  const queue = {
    hello: async () => ({ epoch: 1, leaseMs, requeued: 0, database: DATABASE }),
    heartbeat: async () => {
      await heartbeat();
      const held = [job.id, 8].map((id) => ({ id, fence: job.fence }));
      return {
        session: "live",
        leaseMs,
        status: "active",
        hasOffers: false,
        held,
        cancel: [],
      };
    },
    claim: async (_, { seq, limit }) => {
      claims.push(limit);
      const brought = jobs.splice(0);
      return {
        session: "live",
        seq: brought.length > 0 ? seq : seq - 1,
        jobs: brought,
        more: false,
        unreadable: [],
      };
    },
    reportNode: async (_, profile) => {
      slots.push(profile.slots);
      return { session: "live", returned: 0 };
    },
    settle: async (_, items) => {
      for (const item of items) await settle(item);
      return items.map(({ id, fence }) => ({ id, fence, answer: "accepted", state: null }));
    },
  } satisfies Partial<Queue> as Partial<Queue> as Queue;
  const log = recordLog();
  const worker = createWorker({
    node: { name: "forge", capabilities: [] },
    queue: inParts(queue),
    workflows: [workflow],
    runner: createInlineRunner([workflow]),
    log,
    leaseMs,
    prefetch,
  });
  const signal = new AbortController();
  const done = worker.run({ signal: signal.signal });
  return { done, log, claims, slots, signal: signal.signal, stop: () => signal.abort() };
}

const unavailable = () =>
  Promise.reject(new QueueUnavailableError("queue", "network", "no route to host"));

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

describe("run", () => {
  // Regression: the last words took as long as it takes to know that a step is stuck.
  test("gives back the job of a stuck step before it ends, and leaves no timer", async () => {
    const events: string[] = [];
    const { done, stop } = working({
      run: () => new Promise(() => {}),
      async settle({ outcome }) {
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        events.push(outcome);
      },
    });
    const ended = done.then(() => events.push("ended"));
    await vi.advanceTimersByTimeAsync(1_000);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    await ended;
    expect(events).toEqual(["released", "ended"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("keeps the slot of a stuck step until it ends, though it is settled", async () => {
    let finish = () => {};
    const settled: Settlement[] = [];
    const { done, stop, claims } = working({
      run: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
      settle: async (item) => void settled.push(item),
    });
    await vi.advanceTimersByTimeAsync(job.timeoutMs + 60_000);
    expect(settled).toMatchObject([{ outcome: "failed", error: { code: "STEP_TIMEOUT" } }]);
    expect(claims).toEqual([1]);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(claims).toEqual([1, 1]);
    stop();
    await done;
  });

  test("ends although an outcome cannot be settled, and leaves no timer", async () => {
    const { done, stop, log } = working({ settle: unavailable });
    await vi.advanceTimersByTimeAsync(60_000);
    stop();
    await vi.advanceTimersByTimeAsync(30_000);
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(log.lines.at(-1)).toMatchObject({
      level: "error",
      message: "outcome was not settled before the worker stopped",
      facts: { jobId: 7, fence: 1, step: "build" },
    });
  });

  test("ends at once when nothing runs, and leaves neither timer nor listener", async () => {
    const { done, stop, signal } = working({});
    await vi.advanceTimersByTimeAsync(1_000);
    expect(vi.getTimerCount()).toBe(2);
    stop();
    await done;
    expect(vi.getTimerCount()).toBe(0);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("makes one call about every ten seconds while nothing comes, which claims and renews", async () => {
    let beats = 0;
    const { done, stop, claims } = working({
      async heartbeat() {
        beats += 1;
      },
    });
    await vi.advanceTimersByTimeAsync(60_000);
    const before = { beats, claims: claims.length };
    await vi.advanceTimersByTimeAsync(600_000);
    // They come every 10 s on average, 7.5 s at least.
    expect(beats - before.beats).toBeGreaterThan(50);
    expect(beats - before.beats).toBeLessThan(80);
    expect(claims.length - before.claims).toBe(beats - before.beats);
    stop();
    await done;
  });

  // Interleavings: the first step runs for longer than the second job may wait, so the worker claims nothing ahead
  // until it ends.
  test("gives a prefetched job back that does not begin in time, and claims ahead again later", async () => {
    let finish = () => {};
    const settled: Settlement[] = [];
    const { done, stop, claims, slots } = working({
      prefetch: 1,
      run: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
      settle: async (item) => void settled.push(item),
    });
    await vi.advanceTimersByTimeAsync(9_000);
    expect(settled).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(settled).toMatchObject([
      { id: 8, outcome: "released", reason: "the machine was busy for 10 s" },
    ]);
    expect(slots).toEqual([1]);
    expect(claims).toEqual([2]);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(settled[1]).toMatchObject({ id: 7, outcome: "succeeded" });
    expect(slots).toEqual([1, 2]);
    expect(claims.at(-1)).toBe(2);
    stop();
    await done;
    expect(vi.getTimerCount()).toBe(0);
  });

  // Its reaper comes back with the database: whoever is slower than the lease is dead then.
  test("sends heartbeats as often as its lease requires, however long the database is unreachable", async () => {
    const asked: number[] = [];
    const { done, stop } = working({
      leaseMs: 3_000,
      heartbeat() {
        asked.push(Date.now());
        return unavailable();
      },
    });
    await vi.advanceTimersByTimeAsync(300_000);
    stop();
    await done;
    const gaps = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
    expect(gaps.length).toBeGreaterThan(300);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1_000);
  });
});

import {
  QueueRequestError,
  QueueUnavailableError,
  type Settlement,
  type SettlementAnswer,
} from "@loom/queue";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { settle } from "./settle.ts";

const unavailable = new QueueUnavailableError("loom_settle_jobs", "network", "refused");
const succeeded = { id: 7, fence: 2, outcome: "succeeded", result: null } as const;

/** Settles with a queue that answers what it is told, call by call. */
function settling(answers: (SettlementAnswer["answer"] | Error)[]) {
  const items: Settlement[] = [];
  const giveUp = new AbortController();
  const log = recordLog();
  const revalidate = async () => {};
  const queue = {
    settle: async (_: string, [item]: Settlement[]) => {
      if (!item) throw new Error("nothing to settle");
      items.push(item);
      const answer = answers[items.length - 1] ?? unavailable;
      if (answer instanceof Error) throw answer;
      return [{ id: item.id, fence: item.fence, answer, state: null }];
    },
  };
  return {
    items,
    giveUp,
    log,
    deps: { queue, node: "forge", revalidate, giveUp: giveUp.signal, log },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

describe("settle", () => {
  test("writes the outcome with the claim's fence", async () => {
    const { items, deps } = settling(["accepted"]);
    await settle(succeeded, deps);
    expect(items).toEqual([succeeded]);
  });

  test("tries again until it is answered, and leaves no timer", async () => {
    const { items, deps } = settling([unavailable, unavailable, unavailable, "duplicate"]);
    const done = settle(succeeded, deps);
    await vi.runAllTimersAsync();
    await done;
    expect(items).toHaveLength(4);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stops trying when told so", async () => {
    const { items, giveUp, log, deps } = settling([]);
    const done = settle(succeeded, deps);
    await vi.advanceTimersByTimeAsync(60_000);
    const tries = items.length;
    expect(tries).toBeGreaterThan(3);
    giveUp.abort();
    await done;
    expect(items).toHaveLength(tries);
    expect(log.lines.at(-1)).toMatchObject({ level: "error" });
  });

  test("tries once although it was told to stop before", async () => {
    const { items, giveUp, deps } = settling(["accepted"]);
    giveUp.abort();
    await settle(succeeded, deps);
    expect(items).toHaveLength(1);
  });

  test.for(["stale", "unknown"] as const)("takes %s for an answer", async (answer) => {
    const { items, log, deps } = settling([answer]);
    await settle(succeeded, deps);
    expect(items).toHaveLength(1);
    expect(log.lines).toMatchObject([{ level: "warn", facts: { answer } }]);
  });

  test.for(["too_large", "invalid"] as const)(
    "fails the job, once, when its outcome is answered %s",
    async (answer) => {
      const { items, deps } = settling([answer, answer]);
      await settle(succeeded, deps);
      expect(items).toMatchObject([
        succeeded,
        { outcome: "failed", retryable: false, error: { code: "OUTCOME_REFUSED" } },
      ]);
    },
  );

  test("throws what trying again cannot help", async () => {
    const refused = new QueueRequestError("settle", { code: "INVALID_ARGUMENT", message: "no" });
    const { deps } = settling([refused]);
    await expect(settle(succeeded, deps)).rejects.toBe(refused);
  });
});

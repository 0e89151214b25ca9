import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { exitInDocs, test } from "./fixtures.ts";

/** Starts a run of a step that waits for the signal of an order. */
async function wait(queue: Queue, key: string): Promise<string> {
  const plan = makePlan([
    { step: "paid", wait: { kind: "signal", event: "paid", key, timeoutMs: null, parses: false } },
  ]);
  return (await queue.startRun(plan)).runId;
}

describe("signal", { timeout: 120_000 }, () => {
  test("says how many steps had waited, and they get the data", async ({ loom, queue }) => {
    const id = await wait(queue, "7");
    const args = ["signal", "paid", "--key", "7", "--data", '{"cents":950}'];
    expect(await loom(args)).toMatchObject({ code: 0, stdout: "1 step had waited for it\n" });
    await queue.endWaits();
    expect((await queue.getRun(id)).jobs[0]).toMatchObject({
      state: "succeeded",
      result: { cents: 950 },
    });
  });

  test("is kept when no step waits, and names the keys that steps do wait for", async ({
    loom,
    queue,
  }) => {
    await wait(queue, "7");
    await wait(queue, "8");
    const sent = await loom(["signal", "paid", "--key", "9"]);
    expect(sent.stdout).toBe(
      "no step waits for it: it is kept for a week for the next one that does\nsteps wait for paid with the keys 7, 8\n",
    );
    expect(sent.code).toBe(0);
    const json = await loom(["signal", "paid", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      signal: { waiting: 0, otherKeys: ["7", "8"] },
    });
    // The one with the key 9 comes to the step that waits for it later, without data.
    const id = await wait(queue, "9");
    await queue.endWaits();
    expect((await queue.getRun(id)).jobs[0]).toMatchObject({ state: "succeeded", result: null });
  });

  test.for([
    { args: ["signal", "paid", "--data", "{cents"], code: "USAGE", says: "is not JSON" },
    { args: ["signal", "Paid!"], code: "INVALID_REQUEST", says: "" },
    { args: ["signal"], code: "USAGE", says: "event" },
  ])("ends as the table says: $args, $code", async ({ args, code, says }, { loom }) => {
    const ended = await loom(args);
    expect(ended.stderr).toContain(`[${code}]`);
    expect(ended.stderr).toContain(says);
    expect(ended.code).toBe(exitInDocs(code));
    expect(ended.stdout).toBe("");
  });
});

import { describe, expect } from "vitest";
import { test as base } from "./fixtures.ts";
import { startProcessHub } from "./process-hub.ts";

const test = base.extend("hub", async ({ queue }) => {
  const { planner, ask } = await startProcessHub(queue, "conditional");
  await planner.loaded;
  return async (method: string, where: string, body?: object) =>
    (await ask(method, `/api/loom${where}`, { body })).body;
});

describe("a workflow with conditions", () => {
  test.for([
    { limit: 2, shrink: "succeeded", shipped: 2 },
    { limit: 9, shrink: "skipped", shipped: 3 },
  ])(
    "is decided in the planner's process: $limit",
    { timeout: 60_000 },
    async ({ limit, shrink, shipped }, { hub, queue }) => {
      const { runId } = await hub("POST", "/strands/conditional/run", { input: { limit } });
      const read = () => hub("GET", `/runs/${runId}`);
      await expect.poll(async () => (await read()).status, { timeout: 40_000 }).toBe("succeeded");
      expect((await read()).steps).toMatchObject([
        { step: "measure", state: "succeeded" },
        { step: "shrink", state: shrink, skipReason: shrink === "skipped" ? "condition" : null },
        { step: "ship", result: { shipped } },
        { step: "throws", state: "failed", error: { code: "CONDITION_FAILED" } },
        { step: "hangs", state: "failed", error: { code: "WORKFLOW_CODE_TIMED_OUT" } },
      ]);
      expect(await queue.verify()).toEqual([]);
    },
  );
});

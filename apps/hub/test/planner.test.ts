import { describe, expect } from "vitest";
import { type Body, test } from "./fixtures.ts";
import { startProcessHub } from "./process-hub.ts";

/** A workflow that hangs would keep the hub from answering for ever; a busy machine only delays it. */
const HEALTHY_MS = 5_000;

const unruly = test.extend("hub", ({ queue }) =>
  startProcessHub(queue, "unruly", { importMs: 8_000 }),
);

describe("a hub whose workflows hang, end their process and never end their import", () => {
  unruly(
    "is well, runs the others, and says what is wrong with each",
    { timeout: 60_000 },
    async ({ hub, queue }) => {
      let isOver = false;
      let slowestMs = 0;
      const watching = (async () => {
        while (!isOver) {
          const startedAt = performance.now();
          expect((await hub.ask("GET", "/healthz")).status).toBe(200);
          slowestMs = Math.max(slowestMs, performance.now() - startedAt);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })();

      // They are there although the first file's import does not end.
      await expect.poll(() => [...hub.planner.workflows.keys()].sort()).toEqual(["good", "loops"]);
      expect(hub.planner.loading).toEqual([expect.stringMatching(/endless\.ts$/)]);
      const hanging = hub.ask("POST", "/api/loom/strands/loops/run");
      const { status, body } = await hub.ask("POST", "/api/loom/strands/good/run");
      expect(status).toBe(202);
      expect(await hanging).toMatchObject({
        status: 422,
        body: {
          code: "WORKFLOW_CODE_TIMED_OUT",
          detail: "workflow loops, step only: host did not answer within 1 s",
        },
      });
      await expect
        .poll(async () => (await queue.getRun(String(body.runId))).status)
        .toBe("succeeded");

      await hub.planner.loaded;
      const strands = await hub.ask("GET", "/api/loom/strands");
      expect(strands.body).toMatchObject({
        data: [{ name: "good" }, { name: "loops" }],
        problems: [
          { file: /endless\.ts$/, message: "importing it did not end within 8 s" },
          { file: /exits\.ts$/, message: "importing it ended the process, with exit code 0" },
        ].map(({ file, ...rest }) => ({ ...rest, file: expect.stringMatching(file) })),
        loading: [],
      });
      const { checks } = (await hub.ask("GET", "/api/loom/doctor")).body as { checks: Body[] };
      expect(checks.find(({ name }) => name === "workflow-files")).toMatchObject({
        status: "fail",
      });

      // Its schedule's slots get no run, and say why; the loop that fires schedules goes on.
      await expect
        .poll(async () => (await queue.listSlots("loops"))?.slots.map(({ code }) => code) ?? [])
        .toContain("plan_failed");
      isOver = true;
      await watching;
      expect(slowestMs).toBeLessThan(HEALTHY_MS);
    },
  );
});

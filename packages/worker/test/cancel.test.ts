import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { planRun } from "@loom/scheduler";
import { createProcessRunner } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { jobOf, over, recordedIn, test } from "./fixtures.ts";
import { membersOf } from "./process-table.ts";
import { unruly } from "./workflows/unruly.ts";

const MODULE = new URL("workflows/unruly.ts", import.meta.url).href;

describe("a job that is cancelled", () => {
  test("is cancelled when nothing of its command is left, and not before", async ({
    queue,
    startWorker,
  }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-cancel-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "group");
    const script = `trap 'echo not yet' TERM; echo $$ > ${file}; while :; do sleep 0.05; done`;
    startWorker({
      node: { name: "forge", capabilities: [] },
      workflows: [unruly],
      runner: createProcessRunner({
        modules: new Map([[unruly.name, MODULE]]),
        env: { PATH: process.env.PATH },
        execArgv: ["--conditions=@loom/source"],
        killAfterMs: 1_000,
      }),
    });
    const input = { argv: ["/bin/sh", "-c", script], file: "", text: "" };
    const plan = planRun(unruly, { input });
    // Of its steps, the one that runs the command.
    const jobs = plan.jobs.filter(({ step }) => step === "command");
    const { runId } = await queue.startRun({
      ...plan,
      jobs: jobs.map((job) => ({ ...job, host: "forge" })),
    });
    await expect
      .poll(() => existsSync(file) && readFileSync(file, "utf8"), { timeout: 10_000 })
      .toMatch(/\d/);
    const group = Number(readFileSync(file, "utf8"));
    expect(membersOf(group)).not.toEqual([]);

    await queue.cancelRun(runId);
    // Whenever it is cancelled, its processes are gone.
    await expect
      .poll(
        async () => {
          const { state } = await jobOf(queue, runId);
          return state === "cancelled" ? membersOf(group) : state;
        },
        { timeout: 10_000, interval: 5 },
      )
      .toEqual([]);
    expect(await over(queue, runId)).toMatchObject({
      status: "cancelled",
      jobs: [{ state: "cancelled", error: { code: "CANCELLED" } }],
    });
    // What it said last is in its log.
    expect(await recordedIn(queue, runId)).toContain("not yet");
  });
});

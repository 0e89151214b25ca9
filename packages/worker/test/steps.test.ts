import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Queue } from "@loom/queue";
import { planRun } from "@loom/scheduler";
import { createProcessRunner, ownCode } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { jobOf, over, recordedIn, test } from "./fixtures.ts";
import { membersOf } from "./process-table.ts";
import { unruly } from "./workflows/unruly.ts";

const MODULE = new URL("workflows/unruly.ts", import.meta.url).href;

/** A worker whose steps run in processes. */
const inProcesses = () => ({
  node: { name: "forge", capabilities: [] },
  workflows: [unruly],
  runner: createProcessRunner({
    code: ownCode(new Map([[unruly.name, { url: MODULE }]])),
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
    execArgv: ["--conditions=@loom/source"],
    killAfterMs: 1_000,
  }),
});

/** Starts a run of one of the workflow's steps, pinned to `forge`. */
async function beginStep(
  queue: Queue,
  step: string,
  input: { argv?: [string, ...string[]] } = {},
): Promise<string> {
  const plan = planRun(unruly, { input });
  const jobs = plan.jobs.filter((job) => job.step === step);
  const pinned = jobs.map((job) => ({ ...job, host: "forge" }));
  return (await queue.startRun({ ...plan, jobs: pinned })).runId;
}

describe("a job that is cancelled", () => {
  test("is cancelled only when its command has ended completely", async ({
    queue,
    startWorker,
  }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-cancel-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "group");
    const script = `trap 'echo not yet' TERM; echo $$ > ${file}; while :; do sleep 0.05; done`;
    startWorker(inProcesses());
    const runId = await beginStep(queue, "command", { argv: ["/bin/sh", "-c", script] });
    await expect.poll(() => existsSync(file) && readFileSync(file, "utf8")).toMatch(/\d/);
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
    // Its last output is in its log.
    expect(await recordedIn(queue, runId)).toContain("not yet");
  });
});

describe("a job that writes more than is kept", () => {
  test("has the beginning and the end of its output in the log when it has ended", async ({
    queue,
    startWorker,
  }) => {
    startWorker(inProcesses());
    const runId = await beginStep(queue, "flood");
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    const text = await recordedIn(queue, runId);
    const line = (number: number) => `line ${number} of a step that writes more than is kept\n`;
    expect(text.startsWith(line(0) + line(1))).toBe(true);
    expect(text.endsWith(line(599_998) + line(599_999))).toBe(true);
    expect(text).toMatch(/\n… \d+ bytes are left out here …\n/);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(10_485_760);
    expect(Buffer.byteLength(text)).toBeGreaterThan(10_000_000);
  });
});

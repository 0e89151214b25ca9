import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

let system: System;
let folder: string;
beforeAll(async () => {
  system = await startSystem();
  folder = mkdtempSync(path.join(tmpdir(), "loom-hold-"));
});
afterAll(async () => {
  await system.stop();
  rmSync(folder, { recursive: true });
});

// Interleaving: the agent dies between claim and settle. Its lease ends, the reaper
// gives the job back, and the other node claims it with a higher fence. What the dead
// attempt would still have said is then refused.
test("a step whose agent is killed runs again elsewhere, and the killed attempt's settle is refused", async () => {
  const agents = {
    "pop-os": await system.startAgent("pop-os", ["can-hold"]),
    forge: await system.startAgent("forge", ["can-hold"]),
  };
  const { body } = await system.call("POST", "/strands/hold/run", {
    input: { folder },
    allowUnsatisfiable: true,
  });
  const runId = String(body.runId);

  await expect.poll(() => readdirSync(folder)).toHaveLength(1);
  const first = existsSync(path.join(folder, "started-on-pop-os")) ? "pop-os" : "forge";
  const second = first === "pop-os" ? "forge" : "pop-os";
  // The file is there before what is written into it.
  const read = () => readFileSync(path.join(folder, `started-on-${first}`), "utf8");
  await expect.poll(read).toMatch(/^\d+ \d+$/);
  const pids = read();
  const [agent, step = 0] = pids.split(" ").map(Number);
  expect(agent).toBe(agents[first].pid);
  const [killed] = (await system.queue.getRun(runId)).jobs;
  if (killed?.state !== "running") throw new Error(`the step is ${killed?.state}`);

  process.kill(agents[first].pid, "SIGKILL");
  // Its step does not outlive it.
  await expect.poll(() => isRunning(step)).toBe(false);
  await expect.poll(() => existsSync(path.join(folder, `started-on-${second}`))).toBe(true);

  // The killed attempt's answer, as if it had been under way all the time.
  const late = {
    id: killed.id,
    fence: killed.fence,
    outcome: "succeeded",
    result: "late",
  } as const;
  expect(await system.queue.settle(first, [late])).toMatchObject([{ answer: "unknown" }]);
  expect(await system.queue.settle(second, [late])).toMatchObject([{ answer: "stale" }]);

  writeFileSync(path.join(folder, "go"), "");
  await expect
    .poll(async () => (await system.call("GET", `/runs/${runId}`)).body)
    .toMatchObject({
      status: "succeeded",
      steps: [{ host: second, attempt: 1, crashRestarts: 1, result: { node: second, attempt: 1 } }],
    });
});

function isRunning(pid: number): boolean {
  try {
    // A zombie process has no command line.
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    return false;
  }
}

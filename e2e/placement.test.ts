import { afterAll, beforeAll, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.stop());

async function startRun(workflow: string): Promise<string> {
  const { status, body } = await system.call("POST", `/strands/${workflow}/run`, {
    // A node may only be on its way, or come when the step waits.
    allowUnsatisfiable: true,
  });
  expect(status).toBe(202);
  return String(body.runId);
}

const readRun = async (id: string) => (await system.call("GET", `/runs/${id}`)).body;

test("a step that requires has-gpu never runs on the hub's own node", async () => {
  await system.startAgent("pop-os", ["has-gpu"]);
  const runs = await Promise.all(Array.from({ length: 20 }, () => startRun("needs-gpu")));
  for (const id of runs) {
    await expect
      .poll(() => readRun(id))
      .toMatchObject({
        status: "succeeded",
        steps: [{ step: "train", host: "pop-os", result: { node: "pop-os" } }],
      });
  }
});

test("a step that no node can run waits with the reason, and runs when a node offers the missing capability", async () => {
  const id = await startRun("needs-laser");
  await expect
    .poll(() => readRun(id))
    .toMatchObject({
      status: "running",
      steps: [
        {
          state: "waiting",
          host: null,
          waitingReason: { missing: ["has-laser"], summary: expect.stringContaining("has-laser") },
        },
      ],
    });

  await system.startAgent("workshop", ["has-laser"]);
  await expect
    .poll(() => readRun(id))
    .toMatchObject({
      status: "succeeded",
      steps: [{ state: "succeeded", host: "workshop" }],
    });
});

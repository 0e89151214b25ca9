// Steps that say by files that they run, and go on when a file lets them.
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

const input = z.object({ folder: z.string() });

export const patient = defineWorkflow({ name: "patient", input }).step(
  "work",
  { host: "forge" },
  async ({ input: { folder }, attempt, log, signal }) => {
    log.info({ attempt }, "work has begun");
    writeFileSync(path.join(folder, "started"), String(process.pid));
    while (!existsSync(path.join(folder, "go"))) await sleep(5, undefined, { signal });
    log.info({ attempt }, "work is done");
    return { attempt, pid: process.pid };
  },
);

/** Does not care whether it is asked to stop. */
export const stubborn = defineWorkflow({ name: "stubborn", input }).step(
  "work",
  { host: "forge" },
  async ({ input: { folder } }) => {
    writeFileSync(path.join(folder, "started"), String(process.pid));
    while (!existsSync(path.join(folder, "go"))) await sleep(5);
    return { pid: process.pid };
  },
);

export const busy = defineWorkflow({ name: "busy", input: z.object({ ms: z.number() }) }).step(
  "spin",
  { host: "forge" },
  async ({ input: { ms } }) => {
    const until = performance.now() + ms;
    while (performance.now() < until);
    return { pid: process.pid };
  },
);

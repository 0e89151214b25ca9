import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** One step that says where it runs and goes on until it is let go, both by files in a folder. */
export const hold = defineWorkflow({
  name: "hold",
  input: z.object({ folder: z.string() }),
}).step("work", { requires: ["can-hold"] }, async ({ input, node, signal, attempt }) => {
  writeFileSync(path.join(input.folder, `started-on-${node}`), `${process.ppid} ${process.pid}`);
  while (!existsSync(path.join(input.folder, "go"))) await sleep(20, undefined, { signal });
  return { node, attempt };
});

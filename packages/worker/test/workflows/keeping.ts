// Steps that keep a checkpoint, and end in some way after that.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

const input = z.object({ folder: z.string().default(""), end: z.string().default("throw") });

/** Counts its attempts by what it keeps, until it has enough of them. */
export const keeping = defineWorkflow({ name: "keeping", input }).step(
  "count",
  {
    host: "forge",
    retry: { attempts: 3, backoff: "1ms" },
    checkpoint: z.object({ pages: z.array(z.number()) }),
  },
  async ({ input: { folder, end }, attempt, checkpoint, checkpointed, signal }) => {
    const pages = [...(checkpointed?.pages ?? []), attempt];
    if (pages.length === (end === "wait" ? 2 : 3)) return { pages };
    if (end === "throw") {
      // Nobody waits for it: it is stored with the failure.
      void checkpoint({ pages: [99] });
      void checkpoint({ pages });
      throw new Error("not yet");
    }
    await checkpoint({ pages });
    if (end === "exit") process.exit(1);
    // Until somebody kills the agent.
    writeFileSync(path.join(folder, "started"), String(process.pid));
    await sleep(60_000, undefined, { signal });
    return { pages };
  },
);

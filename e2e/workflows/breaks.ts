import { existsSync } from "node:fs";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** Fails for as long as a file is not there; what comes before it need not be done again. */
export const breaks = defineWorkflow({ name: "breaks", input: z.object({ file: z.string() }) })
  .step("prepare", {}, async () => ({}))
  .step("work", { after: ["prepare"], retry: { attempts: 1 } }, async ({ input }) => {
    if (!existsSync(input.file)) throw new Error(`${input.file} is not there`);
    return {};
  });

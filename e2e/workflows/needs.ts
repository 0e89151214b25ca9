import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** One step that needs a GPU, one that needs what nobody has at first. */
export const needsGpu = defineWorkflow({ name: "needs-gpu" }).step(
  "train",
  { requires: ["has-gpu"] },
  async ({ node }) => ({ node }),
);

export const needsLaser = defineWorkflow({ name: "needs-laser", input: z.object({}) }).step(
  "cut",
  { requires: ["has-laser"] },
  async ({ node }) => ({ node }),
);

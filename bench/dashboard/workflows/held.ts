import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** One step, held by the measurement for as long as it likes. */
export const held = defineWorkflow({ name: "held", input: z.object({}) }).step(
  "hold",
  { requires: ["held-node"] },
  async () => ({}),
);

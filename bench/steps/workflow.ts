import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** A workflow with an input, and a step that does nothing. */
export const bench = defineWorkflow({ name: "bench", input: z.object({}) }).step(
  "nothing",
  {},
  async () => null,
);

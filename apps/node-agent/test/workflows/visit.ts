import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** Asks the test's server, which sees that the step runs and decides when it goes on. */
export const visit = defineWorkflow({ name: "visit", input: z.object({ url: z.url() }) }).step(
  "ask",
  { requires: ["has-site"] },
  async ({ input, node, signal }) => {
    const answer = await fetch(input.url, { signal });
    return { node, heard: await answer.text() };
  },
);

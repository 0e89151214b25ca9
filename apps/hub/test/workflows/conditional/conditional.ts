import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

export const conditional = defineWorkflow({
  name: "conditional",
  input: z.object({ limit: z.number() }),
})
  .step("measure", {}, async () => ({ size: 3 }))
  .step(
    "shrink",
    { after: ["measure"], when: ({ input, results }) => results.measure.size > input.limit },
    async ({ results }) => ({ size: results.measure.size - 1 }),
  )
  .step("ship", { after: ["measure", "shrink"] }, async ({ results }) => ({
    shipped: results.shrink?.size ?? results.measure.size,
  }))
  .step("throws", { when: () => JSON.parse("{"), optional: true }, async () => {})
  .step(
    "hangs",
    {
      when: () => {
        for (;;);
      },
      optional: true,
    },
    async () => {},
  );

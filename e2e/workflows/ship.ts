import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** Asks a person, sleeps meanwhile, and has a branch for each answer. */
export const ship = defineWorkflow({
  name: "ship",
  input: z.object({ order: z.string() }),
})
  .sleep("cool", { for: "30d" })
  .approve("decide", {
    title: "Ship the order?",
    show: ({ input }) => ({ order: input.order, cents: 950 }),
    input: z.object({
      copies: z.int().default(1).describe("How many to send"),
      carrier: z.enum(["post", "bike"]),
    }),
    timeout: "7d",
  })
  .step("send", { after: ["decide"] }, async ({ results }) => results.decide.input)
  .step("refund", { after: ["decide"], runsAfter: "failure" }, async () => "refunded");

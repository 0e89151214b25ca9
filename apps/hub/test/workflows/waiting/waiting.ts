import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** Waits for time, a signal and a person, one after the other, as the hub's tests read it. */
export const waiting = defineWorkflow({
  name: "waiting",
  input: z.object({ order: z.string(), coolUntil: z.iso.datetime() }),
})
  .sleep("cool", { until: ({ input }) => input.coolUntil })
  .waitFor("paid", {
    after: ["cool"],
    event: "paid",
    key: ({ input }) => input.order,
    schema: z.object({ cents: z.number().int().min(1) }),
    timeout: "1h",
  })
  .approve("ship", {
    after: ["cool", "paid"],
    title: "Ship the order?",
    show: ({ input, results }) => ({ order: input.order, paid: results.paid.cents }),
    input: z.object({ express: z.boolean().default(false) }),
    who: ["ada"],
    timeout: "7d",
  })
  .step("label", { after: ["cool", "paid", "ship"] }, async ({ results }) => ({
    cooled: results.cool.until,
    cents: results.paid.cents,
    express: results.ship.input.express,
    by: results.ship.by,
  }));

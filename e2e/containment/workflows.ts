import { cron, defineWorkflow } from "@loom/workflow";
import { z } from "zod";

/** The good work that must not notice the rest of this file. */
export const steady = defineWorkflow({ name: "steady", input: z.int() }).step(
  "work",
  {},
  async ({ input }) => input,
);

/** A step for an agent that the test plays itself. */
export const played = defineWorkflow({ name: "played" })
  .step("say", { requires: ["is-played"] }, async () => ({}))
  .step("read", { after: ["say"], requires: ["loom-hub"] }, async () => ({}));

/** Eight results of 1 MB for one step: more than a claim can carry. */
export const wide = Array.from({ length: 8 }, (_, index) => `part-${index}`)
  .reduce(
    (workflow, name) => workflow.step(name, {}, async () => "x".repeat(1_000_000)) as never,
    defineWorkflow({ name: "wide" }),
  )
  .step(
    "join",
    { after: Array.from({ length: 8 }, (_, index) => `part-${index}`) as never },
    async () => ({}),
  );

const deep = (depth: number) => JSON.parse("[".repeat(depth) + "]".repeat(depth)) as unknown;

/** Results that no reader could take. */
export const unreadable = defineWorkflow({ name: "unreadable" })
  .step("deep", { retry: { attempts: 1 } }, async () => deep(100_000) as never)
  .step("map", { retry: { attempts: 1 } }, async () => ({ a: new Map([["b", 1]]) }) as never);

/** An author's function that never returns. */
export const stuckHost = defineWorkflow({ name: "stuck-host" }).step(
  "work",
  {
    host: () => {
      for (;;);
    },
  },
  async () => ({}),
);

/** Schedules that cannot be planned, beside one that can. */
const everyTwoSeconds = () => cron("*/2 * * * * *", { overlap: "allow" });
export const badKey = defineWorkflow({ name: "bad-key", schedule: everyTwoSeconds() }).step(
  "work",
  { concurrency: () => ({ key: "a\0b", limit: 1 }) },
  async () => ({}),
);
export const stuckKey = defineWorkflow({ name: "stuck-key", schedule: everyTwoSeconds() }).step(
  "work",
  {
    concurrency: () => {
      for (;;);
    },
  },
  async () => ({}),
);
export const goodSchedule = defineWorkflow({
  name: "good-schedule",
  schedule: everyTwoSeconds(),
}).step("work", {}, async () => ({}));

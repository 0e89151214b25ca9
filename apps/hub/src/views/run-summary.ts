import { z } from "@hono/zod-openapi";
import type { RunSummary } from "@loom/queue";
import { withIsoDates } from "./iso-dates.ts";
import { jobState } from "./job.ts";

export const runStatus = z.enum(["running", "succeeded", "failed", "cancelled"]);
export const runTrigger = z.enum(["api", "manual", "schedule"]);

export const runSummaryView = z
  .object({
    id: z.string(),
    workflow: z.string(),
    version: z.string(),
    status: runStatus,
    trigger: runTrigger,
    /** Who asked for it. */
    askedBy: z.string().nullable(),
    /** The run that it repeats. */
    retryOf: z.string().nullable(),
    key: z.string().nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
    /** How many steps are in each state. */
    steps: z.partialRecord(jobState, z.int()),
    /** That have run a step of it. */
    nodes: z.array(z.string()),
  })
  .openapi("RunSummary");

export const toRunSummary = ({ steps, ...run }: RunSummary): z.output<typeof runSummaryView> => ({
  ...withIsoDates(run),
  steps: steps ?? {},
});

import { z } from "@hono/zod-openapi";
import { type RunSummary, runStatuses, runTriggers } from "@loom/queue";
import { withIsoDates } from "./iso-dates.ts";
import { jobState } from "./job.ts";

export const runStatus = z.enum(runStatuses);
export const runTrigger = z.enum(runTriggers);

/** What is told of a run in a list as well as alone. */
export const runFacts = {
  id: z.string(),
  workflow: z.string(),
  version: z.string(),
  status: runStatus,
  trigger: runTrigger,
  /** Who asked for it. */
  askedBy: z.string().nullable(),
  /** The run that it repeats. */
  retryOf: z.string().nullable(),
  createdAt: z.iso.datetime(),
  finishedAt: z.iso.datetime().nullable(),
};

export const runSummaryView = z
  .object({
    ...runFacts,
    key: z.string().nullable(),
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

import { z } from "zod";
import { job } from "./job.ts";
import { instant, jsonText, row } from "./row.ts";

const shared = {
  id: z.string(),
  workflow: z.string(),
  version: z.string(),
  input: jsonText,
  trigger: z.enum(["api", "manual", "schedule"]),
  askedBy: z.string().nullable(),
  /** The run that this one repeats. */
  retryOf: z.string().nullable(),
  createdAt: instant,
  /** In the order of the workflow. */
  jobs: z.array(row(job)),
};

/** One execution of a workflow. Its status follows from its jobs. */
export const run = z.discriminatedUnion("status", [
  z.object({ ...shared, status: z.literal("running") }),
  z.object({
    ...shared,
    status: z.enum(["succeeded", "failed", "cancelled"]),
    finishedAt: instant,
  }),
]);
export type Run = z.output<typeof run>;

export const startedRun = z.object({
  runId: z.string(),
  /** `existing`: a run with this key was there, and is the answer. */
  returned: z.enum(["created", "existing"]),
});
export type StartedRun = z.output<typeof startedRun>;

import { z } from "zod";
import { job } from "./job.ts";
import { jobStates } from "./lists.ts";
import { row } from "./row.ts";
import { waitingJobs } from "./waiting-job.ts";

/** All that says why a job is not running, as it was at one moment. */
export const jobWait = z.object({
  job: row(job),
  /** What placing weighs of it; of its key's places, those that other jobs take. */
  weighed: waitingJobs.transform(([weighed], context) => {
    if (weighed) return weighed;
    context.addIssue({ code: "custom", message: "nothing is told of the job" });
    return z.NEVER;
  }),
  /** How long until it is due, by the database's clock; 0 when it is. */
  dueInMs: z.number(),
  /** Its workflow is paused. */
  isPaused: z.boolean(),
  /** The steps that it comes after and that have not succeeded. */
  openSteps: z.array(row(z.object({ step: z.string(), state: z.enum(jobStates) }))),
});
export type JobWait = z.output<typeof jobWait>;

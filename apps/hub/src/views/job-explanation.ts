import { z } from "@hono/zod-openapi";
import { explanationView } from "./explanation.ts";
import { jobState, waitingReason } from "./job.ts";

/** What keeps a job from a node whatever the nodes are like. */
const hold = z.object({
  code: z.enum(["dependency", "paused_workflow", "not_due"]),
  summary: z.string(),
  fix: z.string().nullable(),
});

export const jobExplanationView = z
  .object({
    job: z.int(),
    state: jobState,
    /** The node that it is offered or pinned to, or that runs it. */
    host: z.string().nullable(),
    /** The first of `holds`, `offered`, `running`, `finished`, or the explanation's. */
    code: z.string(),
    summary: z.string(),
    holds: z.array(hold),
    /** What placing wrote last, when it looked at the job. */
    waitingReason,
    /** Why the node was chosen, where one was. */
    placement: z.unknown(),
    /** As the nodes are now; null when it runs or is finished. */
    explanation: z.union([explanationView, z.null()]),
  })
  .openapi("JobExplanation");

export type JobExplanation = z.output<typeof jobExplanationView>;
export type Hold = z.output<typeof hold>;

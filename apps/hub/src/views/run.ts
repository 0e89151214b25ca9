import { z } from "@hono/zod-openapi";
import type { Job, Run } from "@loom/queue";
import { jobState } from "./job.ts";
import { runFacts } from "./run-summary.ts";

const stepView = z
  .object({
    id: z.int(),
    step: z.string(),
    state: jobState,
    /** Where it runs or ran, or the node that it is offered to. */
    host: z.string().nullable(),
    after: z.array(z.string()),
    requires: z.array(z.string()),
    attempt: z.int(),
    maxAttempts: z.int(),
    crashRestarts: z.int(),
    /** Why no node has it, while it waits. */
    waitingReason: z.looseObject({ code: z.string(), summary: z.string() }).nullable(),
    result: z.unknown(),
    error: z.unknown(),
    createdAt: z.iso.datetime(),
    startedAt: z.iso.datetime().nullable(),
    finishedAt: z.iso.datetime().nullable(),
    /** From claim to end, of the last attempt. */
    durationMs: z.int().nullable(),
  })
  .openapi("Step");

export const runView = z
  .object({
    ...runFacts,
    input: z.unknown(),
    steps: z.array(stepView),
  })
  .openapi("Run");

/** A run as the API shows it. */
export function toRunView(run: Run): z.output<typeof runView> {
  const { id, workflow, version, status, trigger, askedBy, retryOf, input } = run;
  return {
    id,
    workflow,
    version,
    status,
    trigger,
    askedBy,
    retryOf,
    input,
    createdAt: run.createdAt.toISOString(),
    finishedAt: run.status === "running" ? null : run.finishedAt.toISOString(),
    steps: run.jobs.map(toStepView),
  };
}

function toStepView(job: Job): z.output<typeof stepView> {
  const { id, step, state, after, requires, attempt, maxAttempts, crashRestarts, error } = job;
  const startedAt = "claimedAt" in job ? job.claimedAt : null;
  const finishedAt = "finishedAt" in job ? job.finishedAt : null;
  return {
    id,
    step,
    state,
    host: "targetHost" in job ? job.targetHost : state === "waiting" ? null : job.ranOn,
    after,
    requires,
    attempt,
    maxAttempts,
    crashRestarts,
    waitingReason: "waitingReason" in job ? job.waitingReason : null,
    result: state === "succeeded" ? job.result : null,
    error,
    createdAt: job.createdAt.toISOString(),
    startedAt: startedAt?.toISOString() ?? null,
    finishedAt: finishedAt?.toISOString() ?? null,
    durationMs: startedAt && finishedAt ? finishedAt.getTime() - startedAt.getTime() : null,
  };
}

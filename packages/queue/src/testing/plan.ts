import type { PlannedJob, RunPlan } from "@loom/workflow";

/** A plan of one workflow from what matters to a test; the rest is defaults. */
export function makePlan(
  jobs: (Pick<PlannedJob, "step"> & Partial<PlannedJob>)[],
  rest: Partial<RunPlan> = {},
): RunPlan {
  return {
    workflow: "made-for-test",
    version: "v1",
    input: {},
    ...rest,
    jobs: jobs.map((job) => ({
      after: [],
      requires: [],
      host: null,
      prefers: [],
      priority: 100,
      timeoutMs: 60_000,
      retry: { attempts: 1, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } },
      maxCrashRestarts: 3,
      startWithinMs: null,
      concurrency: null,
      runsAfter: "success",
      optional: false,
      skip: "pass",
      hasCondition: false,
      ...job,
    })),
  };
}

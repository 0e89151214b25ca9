import { z } from "@hono/zod-openapi";
import type { StartedRun } from "@loom/queue";
import { planVerdictView } from "./verdict.ts";

export const startedView = z
  .object({
    runId: z.string(),
    /** `existing`: the workflow had a run with this key. */
    returned: z.enum(["created", "existing"]),
    links: z.object({ self: z.string(), events: z.string() }),
  })
  .openapi("StartedRun");

/** A run of a plan, with what would become of each of its steps. */
export const plannedRunView = z
  .object({ ...startedView.shape, verdict: planVerdictView })
  .openapi("PlannedRun");

/** A run that was started, and where to follow it. */
export function toStarted(started: StartedRun): z.output<typeof startedView> {
  const self = `/api/loom/runs/${started.runId}`;
  return { ...started, links: { self, events: `${self}/events` } };
}

import { z } from "@hono/zod-openapi";
import type { StartedRun } from "@loom/queue";
import { planVerdictView } from "./verdict.ts";

/** A run that was started, with what would become of each of its steps. */
export const plannedRunView = z
  .object({
    runId: z.string(),
    /** `existing`: the workflow had a run with this key. */
    returned: z.enum(["created", "existing"]),
    links: z.object({ self: z.string(), events: z.string() }),
    verdict: planVerdictView,
  })
  .openapi("PlannedRun");

/** The same without a verdict: the run, and where to follow it. */
export function toStarted(started: StartedRun): Omit<z.output<typeof plannedRunView>, "verdict"> {
  const self = `/api/loom/runs/${started.runId}`;
  return { ...started, links: { self, events: `${self}/events` } };
}

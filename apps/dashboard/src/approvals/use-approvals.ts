import type { Approval, Event, Page } from "@loom/client";
import { hub, isMissing } from "../hub.ts";
import { type HubQuery, useHub } from "../use-hub.ts";

/** Events after which somebody is asked something, or not any more. They are few beside those of steps that run. */
const CONCERN: ReadonlySet<Event["type"]> = new Set([
  "run.started",
  "job.suspended",
  "job.woken",
  "job.cancelled",
]);
const concernsApprovals = ({ type }: Event): boolean => CONCERN.has(type);

/** One page of them is shown: who has more to decide reads the newest first. */
export const MOST = 100;

/** What is to be decided, newest first. Nothing at a hub that is too old to ask. */
export function usePending(): HubQuery<Page<Approval>> {
  return useHub(
    "approvals pending",
    (call) =>
      hub.listApprovals({ limit: MOST }, call).catch((error: unknown) => {
        if (isMissing(error)) return { data: [], next: null };
        throw error;
      }),
    concernsApprovals,
    { everyMs: 60_000 },
  );
}

/** All that was asked: of a run, or of the last time. */
export const useAsked = (runId?: string): HubQuery<Page<Approval>> =>
  useHub(
    `approvals of ${runId ?? "all"}`,
    (call) =>
      hub.listApprovals(
        { state: "all", limit: runId ? MOST : 50, ...(runId !== undefined && { runId }) },
        call,
      ),
    (event) => concernsApprovals(event) && (runId === undefined || event.runId === runId),
  );

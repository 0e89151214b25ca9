import { type Queue, QueueRequestError, type StartedRun } from "@loom/queue";
import { type AskedStep, type JudgedPlan, judgePlan } from "./explain/judge-plan.ts";
import type { HubContext, RouteDeps } from "./hub-context.ts";
import { actOnceFor } from "./operation.ts";
import { toStarted } from "./views/started.ts";

/**
 * Stores what was judged, unless no known node could ever run it.
 *
 * The judgement comes before the call and must not precede what was done already: a request that is
 * repeated because its answer was lost, or that names a run's or a job's own key, gets the first one's
 * answer though nodes have changed since. So the call is made all the same, and says what it may not make.
 *
 * @param existing - Items of the answer that are not to be made.
 * @throws ProblemError `UNSATISFIABLE` when one of them is not there already.
 */
export async function storeJudged<Stored>(
  c: HubContext,
  {
    queue,
    existing,
    refusal,
  }: Pick<RouteDeps, "queue"> & Pick<JudgedPlan, "refusal"> & { existing: readonly number[] },
  store: (queue: Queue) => Promise<Stored>,
): Promise<Stored> {
  try {
    return await store(await actOnceFor(c, queue, existing));
  } catch (error) {
    if (error instanceof QueueRequestError && error.code === "NOT_EXISTING") throw refusal();
    throw error;
  }
}

/** A run that somebody asks for, before it is there. */
interface AskedRun {
  /** What it has to do. */
  steps: readonly (AskedStep & { readonly after: readonly string[] })[];
  allowUnsatisfiable?: boolean | undefined;
  start: (queue: Queue) => Promise<StartedRun>;
}

/**
 * Starts a run, and answers with what will become of it: in whichever way it was asked for.
 *
 * @throws ProblemError `UNSATISFIABLE` when no known node could ever run one of its steps, unless that is
 *   allowed, or the run is there already.
 */
export async function startJudged(
  c: HubContext,
  deps: Pick<RouteDeps, "queue" | "node" | "onJobsAdded">,
  { steps, allowUnsatisfiable: isAllowed = false, start }: AskedRun,
) {
  const { verdict, impossible, refusal } = await judgePlan(steps, deps);
  const existing = isAllowed || impossible.length === 0 ? [] : [0];
  const started = toStarted(await storeJudged(c, { queue: deps.queue, existing, refusal }, start));
  deps.onJobsAdded(steps.flatMap(({ host, after }) => (host && after.length === 0 ? [host] : [])));
  c.set("made", { runId: started.runId });
  return c.json({ ...started, verdict }, 202, { location: started.links.self });
}

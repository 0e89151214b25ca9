import type { JsonValue, MapPolicy, PlannedJob } from "@loom/workflow";
import type { ClaimedJob } from "../../../exchange/claims.ts";
import type { Queue } from "../../../queue.ts";
import type { Session } from "../../../sessions.ts";
import { claim, only, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";

/** How a step maps over a list, from what matters to a test. */
export const mapOver = (rest: Partial<MapPolicy> = {}): MapPolicy => ({
  step: "list",
  path: null,
  key: null,
  concurrency: null,
  tolerate: null,
  ...rest,
});

/** A run of a step that lists, one that maps over its list on the node forge, and one after that. */
export interface MapRun {
  runId: string;
  /** The job of the step that maps. */
  map: number;
  session: Session;
}

/**
 * Starts such a run, and lets the first step return the list. No item is made yet.
 *
 * @param list - The result of the first step.
 */
export async function startMap(
  queue: Queue,
  list: JsonValue,
  {
    slots = 10_000,
    key,
    ...rest
  }: Partial<MapPolicy> & Partial<Pick<PlannedJob, "retry">> & { slots?: number } = {},
): Promise<MapRun> {
  const { retry, ...policy } = rest;
  const { runId } = await queue.startRun(
    makePlan([
      { step: "list", host: "forge" },
      {
        step: "each",
        after: ["list"],
        host: "forge",
        map: mapOver({ ...policy, ...(key !== undefined && { key }) }),
        ...(retry && { retry }),
      },
      { step: "end", after: ["each"], host: "forge" },
    ]),
  );
  const session = await sayHello(queue, "forge", { slots });
  const job = only(await claim(queue, session));
  await queue.settle("forge", [
    { id: job.id, fence: job.fence, outcome: "succeeded", result: list },
  ]);
  const map = (await queue.getRun(runId)).jobs.find(({ step }) => step === "each")?.id ?? 0;
  return { runId, map, session };
}

/** Makes all items that can be made. */
export async function expandAll(queue: Queue): Promise<number> {
  for (let made = 0; ; ) {
    const expanded = await queue.expandMaps();
    made += expanded.made;
    if (expanded.failed.length > 0) throw new Error(JSON.stringify(expanded.failed));
    if (!expanded.more) return made;
  }
}

/** The numbers from 0 on. */
export const numbers = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => index);

/** Settles a claim as succeeded with this result. */
export const result = ({ id, fence }: ClaimedJob, value: JsonValue) =>
  ({ id, fence, outcome: "succeeded", result: value }) as const;

/** The step that maps, as the run shows it. */
export const mapOf = async (queue: Queue, runId: string) =>
  (await queue.getRun(runId)).jobs.find(({ step }) => step === "each");

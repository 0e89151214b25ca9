import type { NewJob, Settlement } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import type { PlannedJob } from "@loom/workflow";
import type { Lab } from "./lab.ts";

/** Forces one situation that a guard is for. The name is its own: of its nodes, workflow and keys. */
export type Provocation = (lab: Lab, name: string) => Promise<void>;

const retry = {
  attempts: 3,
  backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 },
} as const;

/** Adds jobs, pinned to the node of the same name unless it says otherwise. */
export async function add(
  { queue }: Pick<Lab, "queue">,
  name: string,
  count: number,
  rest: Partial<NewJob> = {},
): Promise<number[]> {
  const job = { workflow: name, step: "only", input: name, host: name, retry, ...rest };
  const added = await queue.enqueue(Array.from({ length: count }, () => job));
  return added.map(({ id }) => id);
}

/** Adds a job that has to be placed. */
export async function addUnpinned({ queue }: Pick<Lab, "queue">, name: string): Promise<number> {
  const [added] = await queue.enqueue([{ workflow: name, step: "only", input: name, retry }]);
  return added?.id ?? 0;
}

/** Offers a job to a node. */
export const offer = ({ queue }: Pick<Lab, "queue">, job: number, node: string) =>
  queue.place({ offers: [{ job, node, placement: null }], refusals: [] });

/** Starts a run whose steps are pinned to the node of the same name. */
export async function start(
  { queue }: Pick<Lab, "queue">,
  name: string,
  steps: readonly (Pick<PlannedJob, "step"> & Partial<PlannedJob>)[],
): Promise<string> {
  const plan = makePlan(
    steps.map((step) => ({ host: name, retry, ...step })),
    { workflow: name },
  );
  return (await queue.startRun(plan)).runId;
}

type Claimed = Pick<Settlement, "id" | "fence">;

export const success = ({ id, fence }: Claimed, result: string): Settlement => ({
  id,
  fence,
  outcome: "succeeded",
  result,
});
export const failure = ({ id, fence }: Claimed): Settlement => ({
  id,
  fence,
  outcome: "failed",
  error: "boom",
});
export const failForGood = ({ id, fence }: Claimed): Settlement => ({
  id,
  fence,
  outcome: "failed",
  error: "boom",
  retryable: false,
});
export const release = ({ id, fence }: Claimed): Settlement => ({ id, fence, outcome: "released" });

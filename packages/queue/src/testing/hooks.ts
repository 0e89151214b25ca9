import type { Delivery } from "../hooks/deliveries.ts";
import type { Hook, HookSettings } from "../hooks/hooks.ts";
import type { Queue } from "../queue.ts";
import { isLed, type LedRound } from "../round.ts";
import type { QueueFixtures } from "./queue-test.ts";
import { untilReadable } from "./until-readable.ts";

/** Adds a hook for failed runs of every workflow, unless the options say otherwise. */
export const addHook = (
  queue: Queue,
  name: string,
  options: Partial<HookSettings> = {},
): Promise<Hook> =>
  queue.createHook({
    name,
    rules: ["run.failed"],
    workflows: [],
    waitingMs: null,
    enabled: true,
    target: { shown: { kind: "webhook" }, sealed: `sealed for ${name}` },
    createdBy: "ada",
    ...options,
  });

/** A round of the hub that leads. */
export async function leadRound(queue: Queue): Promise<LedRound> {
  const answer = await queue.round({ holder: "one", leaseMs: 3_600_000 });
  if (!isLed(answer)) throw new Error(`${answer.lead.holder} leads`);
  if (answer.failed.length > 0) throw new Error(JSON.stringify(answer.failed));
  return answer;
}

/** Lets the leading hub decide what to send. Returns the deliveries of a hook, oldest first. */
export async function decide(
  { queue, database }: QueueFixtures,
  name: string,
): Promise<Delivery[]> {
  // A round reaps, and the next one reads the events of that.
  for (const _ of [1, 2]) {
    await untilReadable(database);
    await leadRound(queue);
  }
  return readDeliveries(queue, name);
}

/** The deliveries of a hook, oldest first. */
export async function readDeliveries(queue: Queue, name: string): Promise<Delivery[]> {
  const page = await queue.listDeliveries(name, { limit: 500 });
  return (page?.deliveries ?? []).reverse();
}

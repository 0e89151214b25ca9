import { randomUUID } from "node:crypto";
import type { ClaimedJob, Node, Queue } from "@loom/queue";
import { databaseTest } from "@loom/queue/testing";

export const test = databaseTest;

/** Opens a session, as an agent that has just started. */
export async function sayHello(
  queue: Queue,
  name: string,
  { capabilities = [], slots = 10, leaseMs = 45_000 }: Partial<Node & { leaseMs: number }> = {},
) {
  const incarnation = randomUUID();
  const { epoch, requeued } = await queue.hello({
    name,
    incarnation,
    leaseMs,
    capabilities,
    slots,
  });
  return { node: name, epoch, requeued };
}

/** Offers every waiting job to one node. */
export async function offerAll(queue: Queue, node: string, offerMs = 15_000): Promise<number[]> {
  const waiting = await queue.listWaiting();
  const offers = waiting.map(({ id }) => ({ job: id, node, placement: null }));
  return queue.place({ offers, refusals: [], offerMs });
}

/** Claims, and fails unless the session is alive. */
export async function claim(
  queue: Queue,
  session: { node: string; epoch: number },
  { seq = 1, limit = 10 } = {},
): Promise<ClaimedJob[]> {
  const answer = await queue.claim(session, { seq, limit });
  if (answer.session !== "live") throw new Error(`the session is ${answer.session}`);
  return answer.jobs;
}

/** The only job, which has to be there. */
export function only<Item>(items: readonly Item[]): Item {
  const [item, ...others] = items;
  if (item === undefined || others.length > 0) throw new Error(`expected one, got ${items.length}`);
  return item;
}

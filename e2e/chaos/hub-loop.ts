import { setTimeout as sleep } from "node:timers/promises";
import type { Node, Offer, Queue, WaitingJob } from "@loom/queue";
import { persist } from "./persist.ts";
import type { Random } from "./random.ts";

/** Short, so that offers to nodes that were just killed expire often. */
const OFFER_MS = 2_500;

export interface HubOptions {
  readonly queue: Queue;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** What a hub does for the queue: places, reaps, expires. Any number may do it at once. */
export async function runHub({ queue, random, signal }: HubOptions): Promise<void> {
  while (!signal.aborted) {
    const [waiting, nodes] = await persist(() =>
      Promise.all([queue.listWaiting({ perKind: 60 }), queue.listNodes()]),
    );
    const offers = choosePlaces(waiting, nodes, random);
    if (offers.length > 0) {
      await persist(() => queue.place({ offers, refusals: [], offerMs: OFFER_MS }));
    }
    await persist(() => queue.reap());
    await persist(() => queue.expire());
    await sleep(random.int(40, 160));
  }
}

/**
 * A free slot for each job on a node that can run it; one that declined it comes last. No more of a
 * concurrency key than may run: the others would hold slots and wait.
 */
function choosePlaces(
  waiting: readonly WaitingJob[],
  nodes: readonly Node[],
  random: Random,
): Offer[] {
  const free = new Map(
    nodes
      .filter((node) => node.online && node.status === "active")
      .map((node) => [node, node.slots - node.running - node.offered]),
  );
  const room = new Map<string, number>();
  return waiting.flatMap(({ id, requires, declinedBy, concurrency }) => {
    if (concurrency) {
      const { key, limit, running } = concurrency;
      const left = room.get(key) ?? limit - running;
      if (left <= 0) return [];
      room.set(key, left - 1);
    }
    const able = [...free.keys()].filter(
      (node) =>
        (free.get(node) ?? 0) > 0 && requires.every((need) => node.capabilities.includes(need)),
    );
    const willing = able.filter(({ name }) => !declinedBy.includes(name));
    const [first, ...others] = willing.length > 0 ? willing : able;
    if (!first) return [];
    const node = random.pick([first, ...others]);
    free.set(node, (free.get(node) ?? 0) - 1);
    return [{ job: id, node: node.name, placement: null }];
  });
}

import { setTimeout as sleep } from "node:timers/promises";
import type { ConditionDecision, Node, Offer, OpenJob, Queue, WaitingJob } from "@loom/queue";
import { persist } from "./queue-client.ts";
import type { Random } from "./random.ts";

/** Short, so that offers to killed nodes expire often. */
const OFFER_MS = 2_500;

export interface HubOptions {
  readonly queue: Queue;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Places, reaps and expires jobs, makes items, ends waits and decides conditions like a hub. Any number of them may run at once. */
export async function runHub({ queue, random, signal }: HubOptions): Promise<void> {
  while (!signal.aborted) {
    const [waiting, nodes] = await persist(() =>
      Promise.all([queue.listWaiting({ perKind: 60 }), queue.listNodes()]),
    );
    const offers = choosePlaces(waiting, nodes, random);
    const open = chooseOpen(waiting, nodes, offers);
    if (offers.length + open.length > 0) {
      await persist(() => queue.place({ offers, refusals: [], open, offerMs: OFFER_MS }));
    }
    await persist(() => queue.reap());
    await persist(() => queue.expire());
    await persist(() => queue.expandMaps());
    await persist(() => queue.endWaits());
    const taken = await persist(() => queue.takeConditions());
    if (taken.length > 0) {
      const decisions = taken.map(({ id, fence }) => decide({ id, fence }, random));
      await persist(() => queue.recordConditions(decisions));
    }
    await sleep(random.int(40, 160));
  }
}

function decide(condition: { id: number; fence: number }, random: Random): ConditionDecision {
  const outcome = random.pick(["runs", "runs", "runs", "skips", "fails"] as const);
  if (outcome !== "fails") return { ...condition, outcome };
  return { ...condition, outcome, error: { name: "Error", code: null, message: "condition" } };
}

/** Opens the jobs that get no slot to all nodes that can run them. */
function chooseOpen(
  waiting: readonly WaitingJob[],
  nodes: readonly Node[],
  offers: readonly Offer[],
): OpenJob[] {
  const offered = new Set(offers.map(({ job }) => job));
  return waiting
    .filter(({ id, isOpen, concurrency }) => !offered.has(id) && !isOpen && !concurrency)
    .map(({ id, requires }) => ({
      job: id,
      nodes: nodes
        .filter(({ capabilities }) => requires.every((need) => capabilities.includes(need)))
        .map(({ name }) => name),
    }))
    .filter((open) => open.nodes.length > 0);
}

/**
 * Chooses a free slot for each job on a node that can run it, preferring nodes that have not declined it.
 * It offers no more jobs of a concurrency key than may run: the others would hold slots and wait.
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

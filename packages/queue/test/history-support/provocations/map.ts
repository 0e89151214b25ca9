import { makePlan } from "@loom/queue/testing";
import type { MapPolicy } from "@loom/workflow";
import { type Agent, join, lose, take, takeOne } from "../agent.ts";
import { type Lab, untilOverOrBlocked } from "../lab.ts";
import { failForGood, type Provocation, success } from "../provocation.ts";

const retry = {
  attempts: 3,
  backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 },
} as const;

/** Starts a run whose second step maps over the list of its first, which has ended. */
async function startMap(
  lab: Lab,
  name: string,
  count: number,
  policy: Partial<MapPolicy> = {},
): Promise<{ runId: string; agent: Agent }> {
  const map = { step: "list", path: null, key: null, concurrency: null, tolerate: null, ...policy };
  const plan = makePlan(
    [
      { step: "list" },
      { step: "each", after: ["list"], map },
      { step: "end", after: ["each"] },
    ].map((step) => ({ host: name, retry, ...step })),
    { workflow: name },
  );
  const { runId } = await lab.queue.startRun(plan);
  const agent = await join(lab, name);
  const { id, fence } = await takeOne(lab, agent);
  const list = Array.from({ length: count }, (_, index) => index);
  await lab.queue.settle(name, [{ id, fence, outcome: "succeeded", result: list }]);
  return { runId, agent };
}

/** Two hubs make items of one step, each before the other's are committed. */
export const expandedTwice: Provocation = async (lab, name) => {
  await startMap(lab, name, 6);
  await lab.queue.expandMaps({ limit: 2 });
  await using expanding = await lab.begin();
  await expanding.queue.expandMaps({ limit: 2 });
  const other = lab.queue.expandMaps({ limit: 2 });
  await untilOverOrBlocked(lab, other);
  await expanding.commit();
  await other;
};

/** A run is cancelled while items of its step are made, and items are made while it is cancelled. */
export const cancelDuringExpansion: Provocation = async (lab, name) => {
  const first = await startMap(lab, name, 4);
  await using expanding = await lab.begin();
  await expanding.queue.expandMaps({ limit: 2 });
  const cancel = lab.queue.cancelRun(first.runId);
  await untilOverOrBlocked(lab, cancel);
  await expanding.commit();
  await cancel;

  const second = await startMap(lab, name, 4);
  await using cancelling = await lab.begin();
  await cancelling.queue.cancelRun(second.runId);
  const expand = lab.queue.expandMaps();
  await untilOverOrBlocked(lab, expand);
  await cancelling.commit();
  await expand;
};

/** The last two items end, each before the other's end is committed: one has failed, which is allowed. */
export const lastItemsTogether: Provocation = async (lab, name) => {
  const { agent } = await startMap(lab, name, 2, { tolerate: 1 });
  await lab.queue.expandMaps();
  const [left, right] = await take(lab, agent);
  if (!left || !right) throw new Error("there were two items");
  await using settling = await lab.begin();
  await settling.queue.settle(name, [failForGood(left)]);
  const other = lab.queue.settle(name, [success(right, "right")]);
  await untilOverOrBlocked(lab, other);
  await settling.commit();
  await other;
};

/** More items fail than may. */
export const itemsFail: Provocation = async (lab, name) => {
  const { agent } = await startMap(lab, name, 3, { tolerate: "34%" });
  await lab.queue.expandMaps();
  const items = await take(lab, agent);
  const settled = items.map((item, index) =>
    index < 2 ? failForGood(item) : success(item, "well"),
  );
  await lab.queue.settle(name, settled);
};

/** Items wait for a place, while one is lost with its node. */
export const itemsWithLimit: Provocation = async (lab, name) => {
  const { agent } = await startMap(lab, name, 4, { concurrency: 1 });
  await lab.queue.expandMaps();
  const [first] = await take(lab, agent);
  if (!first) throw new Error("there was an item");
  await lab.queue.settle(name, [success(first, "first")]);
  await take(lab, agent);
  await lose(lab, name);
};

/** A run is cancelled while one of its items runs, which ends well. */
export const cancelledItems: Provocation = async (lab, name) => {
  const { runId, agent } = await startMap(lab, name, 3);
  await lab.queue.expandMaps();
  const item = await takeOne(lab, agent);
  await lab.queue.cancelRun(runId);
  await lab.queue.settle(name, [success(item, "in time")]);
};

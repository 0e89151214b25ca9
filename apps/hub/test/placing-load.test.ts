import { makePlan } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, dispatchWaiting, sayHello, test } from "./fixtures.ts";

const NODES = 100;
const WAITING = 10_000;

const bulk = makePlan(
  Array.from({ length: WAITING }, (_, index) => ({ step: `s-${index}` })),
  { workflow: "bulk" },
);

describe("10,000 waiting steps over 100 nodes", () => {
  test.for([
    {
      title: "a run of another workflow",
      plan: makePlan([{ step: "only" }], { workflow: "other" }),
    },
    {
      title: "a run of the same workflow that is more urgent",
      plan: makePlan([{ step: "only", priority: 10 }], { workflow: "bulk" }),
    },
  ])("leave the next free slot to $title", { timeout: 60_000 }, async ({ plan }, { queue }) => {
    const dispatcher = dispatchWaiting(queue);
    const [node] = await Promise.all(
      Array.from({ length: NODES }, (_, index) => sayHello(queue, `node-${index}`, { slots: 1 })),
    );
    if (!node) throw new Error("there are nodes");
    await queue.startRun(bulk);
    // Round by round, until every slot is taken.
    while ((await dispatcher.place()).size > 0);
    const busy = (await queue.listNodes()).filter(({ offered }) => offered === 1);
    expect(busy).toHaveLength(NODES);

    const { runId } = await queue.startRun(plan);
    await dispatcher.place();
    const [job] = await claim(queue, node, 1);
    if (!job) throw new Error("its offer is there to claim");
    const { id, fence } = job;
    await queue.settle(node.node, [{ id, fence, outcome: "succeeded", result: null }]);
    expect(await dispatcher.place()).toEqual(new Set([node.node]));
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "pending", targetHost: node.node },
    ]);
  });
});

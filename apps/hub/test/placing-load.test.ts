import { createDispatcher } from "@loom/hub";
import { makePlan } from "@loom/queue/testing";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { claim, sayHello, test } from "./fixtures.ts";

const NODES = 100;
const WAITING = 10_000;

describe("10,000 waiting jobs over 100 nodes", () => {
  test("do not keep a run waiting that somebody waits for", { timeout: 60_000 }, async ({
    queue,
  }) => {
    const dispatcher = createDispatcher({ queue, log: pino({ level: "silent" }) });
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, index) => sayHello(queue, `node-${index}`, { slots: 1 })),
    );
    for (let from = 0; from < WAITING; from += 1_000) {
      await queue.enqueue(
        Array.from({ length: 1_000 }, () => ({ workflow: "bulk", step: "one", input: null })),
      );
    }
    // Round by round, until every slot is taken.
    for (let offered = 1; offered > 0; ) offered = (await dispatcher.place()).size;
    const busy = await queue.listNodes();
    expect(busy.filter(({ offered }) => offered === 1)).toHaveLength(NODES);

    // Somebody comes when all is taken; the first slot that is free is theirs.
    const { runId } = await queue.startRun(makePlan([{ step: "only", priority: 10 }]));
    await dispatcher.place();
    const [node = { node: "", epoch: 0 }] = nodes;
    const [job] = await claim(queue, node, 1);
    const done = { id: job?.id ?? 0, fence: job?.fence ?? 0, outcome: "succeeded" } as const;
    await queue.settle(node.node, [{ ...done, result: null }]);
    expect(await dispatcher.place()).toEqual(new Set([node.node]));
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "pending", targetHost: node.node },
    ]);
  });
});

import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import type { Session } from "../../../sessions.ts";
import { only, sayHello } from "../../agent.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";

/** The order that a node's heartbeat brings. */
async function orderOf(queue: Queue, session: Session): Promise<string | null | undefined> {
  const answer = await queue.heartbeat(session);
  return answer.session === "live" ? answer.upgrade : undefined;
}

/** What a node reports when it has carried out an order. */
const carriedOut = (order: string) => ({ capabilities: [], slots: 1, facts: { agent: { order } } });

export function upgradesContract(test: QueueTest): void {
  describe("orderUpgrade", () => {
    test("comes with each heartbeat until the node says how it ended", async ({ queue }) => {
      const session = await sayHello(queue, "forge");
      expect(await orderOf(queue, session)).toBeNull();
      const order = randomUUID();
      expect(await queue.orderUpgrade(["forge", "nobody"], order)).toEqual({ ordered: ["forge"] });
      expect(await orderOf(queue, session)).toBe(order);
      // What was said of another order, or by an older session, counts for nothing.
      await queue.reportNode(session, carriedOut(randomUUID()));
      await queue.reportNode({ ...session, epoch: session.epoch - 1 }, carriedOut(order));
      // A start of the agent does not lose it.
      const restarted = await sayHello(queue, "forge");
      expect(await orderOf(queue, restarted)).toBe(order);
      expect(only(await queue.listNodes()).upgradeOrder).toBe(order);
      await queue.reportNode(restarted, carriedOut(order));
      expect(await orderOf(queue, restarted)).toBeNull();
      expect(only(await queue.listNodes()).upgradeOrder).toBeNull();
    });

    test("is null when none of the nodes is known", async ({ queue }) => {
      expect(await queue.orderUpgrade(["nobody"], randomUUID())).toBeNull();
    });

    test("lets nodes go one after the other, and waits for none that is away", async ({
      queue,
      database,
    }) => {
      const order = randomUUID();
      const anvil = await sayHello(queue, "anvil");
      await expireLeases(database);
      const bench = await sayHello(queue, "bench");
      const forge = await sayHello(queue, "forge");
      await queue.orderUpgrade(["anvil", "bench", "forge"], order);
      expect([await orderOf(queue, forge), await orderOf(queue, bench)]).toEqual([null, order]);
      await queue.reportNode(bench, carriedOut(order));
      expect(await orderOf(queue, forge)).toBe(order);
      // It was away: it gets the order when it is back, and is waited for from then on.
      expect(await orderOf(queue, anvil)).toBe(order);
      expect(await orderOf(queue, forge)).toBeNull();
      // Another order has nothing to wait for.
      const own = randomUUID();
      await queue.orderUpgrade(["forge"], own);
      expect(await orderOf(queue, forge)).toBe(own);
    });
  });
}

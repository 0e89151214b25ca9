import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { success } from "../../settlements.ts";

export function nodeStatusContract(test: QueueTest): void {
  describe("setNodeStatus", () => {
    test("keeps a node from claiming, with a note for people, until it is active again", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "forge");
      const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
      await queue.setNodeStatus("forge", { status: "paused", note: "gaming", forMs: 60_000 });
      expect(only(await queue.listNodes())).toMatchObject({
        status: "paused",
        statusNote: "gaming",
        statusUntil: expect.any(Date),
      });
      expect(await queue.heartbeat(session)).toMatchObject({ status: "paused", giveBack: false });
      expect(await claim(queue, session)).toEqual([]);

      await queue.setNodeStatus("forge", { status: "active" });
      expect(only(await queue.listNodes())).toMatchObject({
        status: "active",
        statusNote: null,
        statusUntil: null,
      });
      expect(only(await claim(queue, session))).toMatchObject({ id });
    });

    test.for(["paused", "draining"] as const)(
      "takes the offers of a node that is %s back at once, and leaves what runs and what is pinned",
      async (status, { queue }) => {
        const { job, session } = await runningJob(queue);
        const added = await queue.enqueue([makeJob(), makeJob({ host: "forge" })]);
        const [offered, pinned] = added.map(({ id }) => id);
        await offerAll(queue, "forge");
        expect(await queue.setNodeStatus("forge", { status })).toEqual({ returned: 1 });
        expect(await queue.listWaiting()).toMatchObject([{ id: offered, declinedBy: [] }]);
        expect(await queue.getJob(pinned ?? 0)).toMatchObject({ state: "pending" });
        expect(await queue.heartbeat(session)).toMatchObject({ status, held: [{ id: job.id }] });
        expect(await queue.settle("forge", [success(job)])).toMatchObject([{ answer: "accepted" }]);
      },
    );

    test("ends a pause by itself, with the first heartbeat after its time", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge");
      await queue.setNodeStatus("forge", { status: "paused", note: "lunch", forMs: 60_000 });
      await database.sql`update public.openclaw_instances set status_until = now() - interval '1 second'`;
      expect(await queue.heartbeat(session)).toMatchObject({ status: "active" });
      expect(only(await queue.listNodes())).toMatchObject({ status: "active", statusNote: null });
      const { events } = await queue.readEvents();
      expect(events.map(({ type }) => type)).toEqual(["node.hello", "node.paused", "node.resumed"]);
    });

    test("tells a draining node to give back what it runs when the deadline has passed", async ({
      queue,
      database,
    }) => {
      const { session } = await runningJob(queue);
      await queue.setNodeStatus("forge", { status: "draining", forMs: 60_000 });
      const before = await queue.heartbeat(session);
      expect(before).toMatchObject({ giveBack: false });
      expect(before.session === "live" && before.statusEndsMs).toBeGreaterThan(50_000);
      await database.sql`update public.openclaw_instances set status_until = now() - interval '1 second'`;
      expect(await queue.heartbeat(session)).toMatchObject({ status: "draining", giveBack: true });
    });

    test("may be repeated, and outlives a new start of the agent", async ({ queue }) => {
      await sayHello(queue, "forge");
      await queue.setNodeStatus("forge", { status: "draining" });
      await queue.setNodeStatus("forge", { status: "draining", note: "for a new disk" });
      expect(await queue.heartbeat(await sayHello(queue, "forge"))).toMatchObject({
        status: "draining",
      });
      const { events } = await queue.readEvents();
      expect(events.filter(({ type }) => type === "node.draining")).toHaveLength(1);
    });

    // Interleavings: an offer that is written before the drain is taken back by it, unless its row
    // is locked at that moment. One that is written after it, by a hub that read the node as
    // active, is taken back by the node's next claim.
    test("races with a burst of offers: all of them are placed elsewhere", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 10; seq += 1) {
        const added = await queue.enqueue(Array.from({ length: 10 }, () => makeJob()));
        const waiting = await queue.listWaiting();
        const place = ({ id }: { id: number }) =>
          queue.place({ offers: [{ job: id, node: "forge", placement: null }], refusals: [] });
        await Promise.all([
          ...waiting.map(place),
          queue.setNodeStatus("forge", { status: "draining" }),
        ]);
        expect(await claim(queue, session, { seq })).toEqual([]);
        const left = await queue.listWaiting();
        expect(left.map(({ id }) => id)).toEqual(added.map(({ id }) => id));
        await queue.cancel(left.map(({ id }) => id));
        await queue.setNodeStatus("forge", { status: "active" });
      }
    });

    // Interleavings: the pause that is prolonged first stays; the heartbeat that ends it first is
    // followed by the new pause. Either way the node is paused in the end.
    test("races with the end of a pause: a pause that is prolonged in time goes on", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge");
      for (let round = 0; round < 20; round += 1) {
        await queue.setNodeStatus("forge", { status: "paused", forMs: 0 });
        await Promise.all([
          queue.heartbeat(session),
          queue.setNodeStatus("forge", { status: "paused", forMs: 60_000 }),
        ]);
        expect(await database.sql`select status from public.openclaw_instances`).toEqual([
          { status: "paused" },
        ]);
      }
    });

    test("refuses a node that nobody knows", async ({ queue }) => {
      await expect(queue.setNodeStatus("forge", { status: "paused" })).rejects.toMatchObject({
        code: "NODE_NOT_FOUND",
      });
    });

    test.for([
      { status: "paused" as const, note: "x".repeat(2_001) },
      { status: "paused" as const, forMs: -1 },
      { status: "draining" as const, forMs: 31_536_000_001 },
      { status: "active" as const, note: "why" },
      { status: "active" as const, forMs: 1_000 },
    ])("refuses %o", async (change, { queue }) => {
      await sayHello(queue, "forge");
      await expect(queue.setNodeStatus("forge", change)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      expect(only(await queue.listNodes())).toMatchObject({ status: "active" });
    });
  });
}

import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";

export function openContract(test: QueueTest): void {
  /** Opens jobs to nodes, in this order. */
  const opens = (jobs: readonly { id: number }[], nodes: string[]) => ({
    offers: [],
    refusals: [],
    open: jobs.map(({ id }) => ({ job: id, nodes })),
  });

  describe("an open job", () => {
    test("is claimed by a node that it is open to, in the order of the decision", async ({
      queue,
    }) => {
      const [forge, anvil] = [await sayHello(queue, "forge"), await sayHello(queue, "anvil")];
      const added = await queue.enqueue([
        makeJob(),
        makeJob(),
        makeJob({ priority: 1 }),
        makeJob(),
      ]);
      const [first, second, urgent, closed] = added;
      if (!first || !second || !urgent || !closed) throw new Error("not added");
      await queue.place(opens([second, first, urgent], ["forge", "mill"]));
      expect((await queue.listWaiting()).filter(({ isOpen }) => !isOpen)).toMatchObject([
        { id: closed.id },
      ]);
      expect(await claim(queue, anvil)).toEqual([]);
      const claimed = await claim(queue, forge, { limit: 2 });
      expect(claimed.map(({ id }) => id)).toEqual([urgent.id, second.id]);
      expect(await queue.getJob(urgent.id)).toMatchObject({
        state: "running",
        ranOn: "forge",
        placement: { node: "forge", decidedBy: "free" },
      });
      // The answer was lost.
      expect(await claim(queue, forge, { limit: 2 })).toEqual(claimed);
      expect(await claim(queue, forge, { seq: 2 })).toMatchObject([{ id: first.id }]);
    });

    test("has the history of an offered one", async ({ queue }) => {
      const forge = await sayHello(queue, "forge");
      await queue.startRun(makePlan([{ step: "only" }]));
      await queue.place(opens(await queue.listWaiting(), ["forge"]));
      await claim(queue, forge);
      const { events } = await queue.readEvents();
      expect(events.slice(-2)).toMatchObject([
        { type: "job.offered", state: "pending", node: "forge" },
        { type: "job.claimed", state: "running", node: "forge" },
      ]);
    });

    test("comes after what is offered to the node, and takes no more slots than there are", async ({
      queue,
    }) => {
      const forge = await sayHello(queue, "forge", { slots: 2 });
      const [offered] = await queue.enqueue([makeJob()]);
      await offerAll(queue, "forge");
      const open = await queue.enqueue([makeJob({ priority: 1 }), makeJob()]);
      await queue.place(opens(open, ["forge"]));
      expect((await claim(queue, forge)).map(({ id }) => id).sort()).toEqual(
        [offered?.id, open[0]?.id].sort(),
      );
      expect(await claim(queue, forge, { seq: 2 })).toEqual([]);
    });

    test("is claimed with the call that settles", async ({ queue }) => {
      const forge = await sayHello(queue, "forge", { slots: 1 });
      await queue.enqueue([makeJob()]);
      await offerAll(queue, "forge");
      const { id, fence } = only(await claim(queue, forge));
      const [next] = await queue.enqueue([makeJob()]);
      await queue.place(opens(next ? [next] : [], ["forge"]));
      const answer = await queue.exchange(forge, {
        settle: [{ id, fence, outcome: "succeeded", result: null }],
        claim: { seq: 2, limit: 1 },
      });
      expect(answer.claim).toMatchObject({ session: "live", jobs: [{ id: next?.id }] });
    });

    test("is claimed neither while it is paused, cancelled or offered, nor after its time", async ({
      queue,
      database,
    }) => {
      const forge = await sayHello(queue, "forge");
      const added = await queue.enqueue([
        makeJob({ workflow: "paused" }),
        makeJob({ step: "cancelled" }),
        makeJob({ step: "offered" }),
        makeJob({ step: "late" }),
      ]);
      await queue.place(opens(added, ["forge"]));
      const [, cancelled, offered, late] = added.map(({ id }) => id);
      await queue.pauseWorkflow("paused");
      await queue.cancel([cancelled ?? 0]);
      await queue.place({
        offers: [{ job: offered ?? 0, node: "anvil", placement: null }],
        refusals: [],
      });
      await database.sql`
        update public.loom_ready set open_until = clock_timestamp() where job_id = ${late ?? 0}`;
      expect(await claim(queue, forge)).toEqual([]);
      await queue.resumeWorkflow("paused");
      expect(await claim(queue, forge)).toMatchObject([{ workflow: "paused" }]);
    });

    test("is closed where its node offers something else, starts again or is paused", async ({
      queue,
    }) => {
      const offer = { capabilities: ["docker"], slots: 10 };
      const [added] = await queue.enqueue([makeJob()]);
      if (!added) throw new Error("not added");
      const isOpen = async () => only(await queue.listWaiting()).isOpen;
      let forge = await sayHello(queue, "forge", offer);
      for (const changes of [
        async () => void (await queue.reportNode(forge, { ...offer, capabilities: [] })),
        async () => {
          forge = await sayHello(queue, "forge", offer);
        },
        async () => void (await queue.setNodeStatus("forge", { status: "paused" })),
      ]) {
        forge = await sayHello(queue, "forge", offer);
        await queue.place(opens([added], ["forge"]));
        expect(await isOpen()).toBe(true);
        await changes();
        expect(await isOpen()).toBe(false);
        expect(await claim(queue, forge)).toEqual([]);
      }
    });

    test("has no concurrency key", async ({ queue }) => {
      const forge = await sayHello(queue, "forge");
      const concurrency = { key: "one", limit: 1 };
      await queue.place(opens(await queue.enqueue([makeJob({ concurrency })]), ["forge"]));
      expect(await claim(queue, forge)).toEqual([]);
    });

    // Interleavings: whoever locks the job's row in loom_ready first has it; the other skips it, or finds it gone.
    test("races: two nodes, an offer, a cancel and a report: one has it", async ({ queue }) => {
      const [forge, anvil] = [
        await sayHello(queue, "forge", { slots: 1_000 }),
        await sayHello(queue, "anvil", { slots: 1_000 }),
      ];
      for (let seq = 1; seq <= 20; seq += 1) {
        const added = await queue.enqueue([makeJob(), makeJob(), makeJob()]);
        await queue.place(opens(added, ["forge", "anvil"]));
        const offers = added.map(({ id }) => ({ job: id, node: "anvil", placement: null }));
        const [one, two, placed, cancelled] = await Promise.all([
          claim(queue, forge, { seq, limit: 2 }),
          claim(queue, anvil, { seq, limit: 2 }),
          queue.place({ offers, refusals: [] }),
          queue.cancel([added[0]?.id ?? 0]),
          queue.reportNode(forge, { capabilities: [`round-${seq}`], slots: 1_000 }),
        ]);
        const claimed = [...one, ...two].map(({ id }) => id);
        expect(new Set(claimed).size).toBe(claimed.length);
        for (const { id } of added) {
          const { state, targetHost } = (await queue.getJob(id)) as {
            state: string;
            targetHost: string | null;
          };
          if (claimed.includes(id)) expect(["running", "cancelled"]).toContain(state);
          else expect([state, placed.includes(id)]).not.toEqual(["waiting", true]);
          if (state === "running") expect(["forge", "anvil"]).toContain(targetHost);
        }
        expect(cancelled).toHaveLength(1);
        await queue.cancel(added.map(({ id }) => id));
        expect(await queue.verify()).toEqual([]);
      }
    });
  });
}

import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import type { QueueTest } from "../queue-test.ts";

export function declineContract(test: QueueTest): void {
  describe("decline", () => {
    test("gives an offer back, with the reason and the node's name", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      await offerAll(queue, "forge");
      expect(await queue.decline("forge", [id], "the disk is full")).toEqual([id]);
      expect(await queue.getJob(id)).toMatchObject({
        state: "waiting",
        attempt: 0,
        waitingReason: { code: "declined", summary: "the disk is full" },
      });
      expect(await queue.listWaiting()).toMatchObject([{ id, declinedBy: ["forge"] }]);
      expect(await queue.decline("forge", [id], "again")).toEqual([]);
    });

    test("names the nodes that declined, once each time, the newest last", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      const nodes = ["forge", "oracle", "forge"];
      for (const node of nodes) {
        await offerAll(queue, node);
        await queue.decline(node, [id], "no");
      }
      expect(await queue.getJob(id)).toMatchObject({ declinedBy: nodes });
    });

    test("remembers the last twenty times", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      const nodes = Array.from({ length: 22 }, (_, index) => `n${index}`);
      for (const node of nodes) {
        await offerAll(queue, node);
        await queue.decline(node, [id], "no");
      }
      expect(await queue.getJob(id)).toMatchObject({ declinedBy: nodes.slice(2) });
    });

    test("leaves alone what is not an offer to this node", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      const added = await queue.enqueue([makeJob({ host: "forge" }), makeJob()]);
      const [pinned, other] = added.map(({ id }) => id);
      await offerAll(queue, "oracle");
      const all = [job.id, pinned ?? 0, other ?? 0, 404];
      expect(await queue.decline("forge", all, "no")).toEqual([]);
      expect(await read()).toMatchObject({ state: "running" });
      expect(await queue.getJob(pinned ?? 0)).toMatchObject({ state: "pending", declinedBy: [] });
      expect(await queue.getJob(other ?? 0)).toMatchObject({ targetHost: "oracle" });
    });

    // Interleavings: both skip a locked offer. The claim first: the decline skips the job or
    // finds it running. The decline first: the claim skips it or finds it waiting.
    test("races with a claim: the job is declined or claimed, never both", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 20; seq += 1) {
        const { id } = only(await queue.enqueue([makeJob()]));
        await offerAll(queue, "forge");
        const [declined, claimed] = await Promise.all([
          queue.decline("forge", [id], "no"),
          claim(queue, session, { seq, limit: 1 }),
        ]);
        expect(declined.length + claimed.length).toBe(1);
        const state = declined.length > 0 ? "waiting" : "running";
        expect(await queue.getJob(id)).toMatchObject({ state });
        await queue.cancel([id]);
      }
    });
  });
}

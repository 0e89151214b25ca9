import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { setRunAt } from "../../rows.ts";

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

    test("lets a pinned job wait longer each time, until its node starts again", async ({
      queue,
      database,
    }) => {
      const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
      let session = await sayHello(queue, "forge");
      const seconds: number[] = [];
      const decline = async (seq: number) => {
        const job = only(await claim(queue, session, { seq }));
        const reason = "forge has version aaa of workflow train, not bbb";
        await queue.settle("forge", [{ ...job, outcome: "declined", reason, delayMs: 5_000 }]);
      };
      for (let seq = 1; seq <= 8; seq += 1) {
        await decline(seq);
        const { dueInMs, job } = await queue.explainWait(id);
        seconds.push(Math.round(dueInMs / 1_000));
        expect(job).toMatchObject({ waitingReason: { summary: expect.stringContaining("bbb") } });
        await setRunAt(database, "now()");
      }
      expect(seconds).toEqual([5, 10, 20, 40, 80, 160, 320, 320]);
      await decline(9);
      expect((await queue.explainWait(id)).dueInMs).toBeGreaterThan(100_000);
      session = await sayHello(queue, "forge");
      expect((await queue.explainWait(id)).dueInMs).toBe(0);
    });

    test("changes no job that is not offered to this node", async ({ queue }) => {
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

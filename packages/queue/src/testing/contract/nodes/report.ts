import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";

export function reportContract(test: QueueTest): void {
  const offer = { capabilities: ["docker", "has-gpu"], slots: 10 };

  describe("reportNode", () => {
    test("changes what the node offers, and counts a version of the capabilities", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "forge", offer);
      const changed = {
        capabilities: ["docker"],
        slots: 3,
        tailnetAddress: "100.64.0.7",
        wakePort: 7_421,
        facts: { gpus: 0 },
      };
      expect(await queue.reportNode(session, changed)).toEqual({ session: "live", returned: 0 });
      const known = only(await queue.listNodes());
      expect(known).toMatchObject({ ...changed, capabilitiesVersion: 2 });
      // Again, or with other facts, nothing was offered on anything else than what is so.
      await queue.reportNode(session, { ...changed, facts: {} });
      expect(only(await queue.listNodes())).toMatchObject({ capabilitiesVersion: 2, facts: {} });
    });

    test("takes back offers with requirements when the capabilities change", async ({ queue }) => {
      const session = await sayHello(queue, "forge", offer);
      const added = await queue.enqueue([
        makeJob({ requires: ["has-gpu"] }),
        makeJob(),
        makeJob({ requires: ["has-gpu"], host: "forge" }),
      ]);
      const [demanding, plain, pinned] = added.map(({ id }) => id);
      await offerAll(queue, "forge");

      expect(await queue.reportNode(session, { ...offer, slots: 9 })).toMatchObject({
        returned: 0,
      });
      expect(await queue.reportNode(session, { ...offer, capabilities: ["docker"] })).toMatchObject(
        {
          returned: 1,
        },
      );
      expect(await queue.listWaiting()).toMatchObject([
        { id: demanding, declinedBy: [], waitingReason: { code: "offer_returned" } },
      ]);
      for (const id of [plain, pinned]) {
        expect(await queue.getJob(id ?? 0)).toMatchObject({ state: "pending" });
      }
    });

    // Interleavings: the report first: the offer waits, and the claim skips it or does not find it.
    // The claim first: the report skips the job or finds it running. Never both, never neither.
    test("races with a claim: an offer is taken back or claimed", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { ...offer, slots: 100 });
      for (let seq = 1; seq <= 20; seq += 1) {
        const { id } = only(await queue.enqueue([makeJob({ requires: ["docker"] })]));
        await offerAll(queue, "forge");
        const [report, claimed] = await Promise.all([
          queue.reportNode(session, { capabilities: ["docker", `round-${seq}`], slots: 100 }),
          claim(queue, session, { seq, limit: 1 }),
        ]);
        if (report.session !== "live") throw new Error("the session is not live");
        expect(report.returned + claimed.length).toBe(1);
        await queue.cancel([id]);
      }
    });

    // Interleavings: the report first: the newer agent's hello overwrites it. The hello first: the
    // report finds another epoch. Either way the node offers what the newer agent said.
    test("races with a newer agent, whose report wins", async ({ queue }) => {
      for (let round = 0; round < 20; round += 1) {
        const older = await sayHello(queue, "forge", { capabilities: ["first"] });
        await Promise.all([
          sayHello(queue, "forge", { capabilities: ["newer"] }),
          queue.reportNode(older, { capabilities: ["older"], slots: 1 }),
        ]);
        expect(only(await queue.listNodes())).toMatchObject({ capabilities: ["newer"] });
      }
    });

    test("is refused when the session is not the current one", async ({ queue, database }) => {
      const older = await sayHello(queue, "forge");
      const newer = await sayHello(queue, "forge");
      expect(await queue.reportNode(older, offer)).toEqual({ session: "superseded" });
      await expireLeases(database);
      await queue.reap();
      expect(await queue.reportNode(newer, offer)).toEqual({ session: "dead" });
      expect(await queue.reportNode({ node: "oracle", epoch: 1 }, offer)).toEqual({
        session: "dead",
      });
      expect(only(await queue.listNodes())).toMatchObject({ capabilities: [] });
    });

    test("refuses impossible slots", async ({ queue }) => {
      const session = await sayHello(queue, "forge");
      await expect(queue.reportNode(session, { ...offer, slots: -1 })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });
  });

  describe("listWakeAddresses", () => {
    const waker = { tailnetAddress: "100.64.0.7", wakePort: 7_421 };
    // These nodes say nothing of their boot.
    const listed = { ...waker, boot: null };

    test("lists nodes that have an offer or a pinned job to claim", async ({ queue }) => {
      for (const name of ["anvil", "forge", "idle", "deaf"]) {
        const session = await sayHello(queue, name);
        if (name !== "deaf") await queue.reportNode(session, { ...offer, ...waker });
      }
      await queue.enqueue([makeJob({ host: "forge" }), makeJob({ host: "deaf" }), makeJob()]);
      await offerAll(queue, "anvil");
      expect(await queue.listWakeAddresses()).toEqual([
        { name: "anvil", ...listed },
        { name: "forge", ...listed },
      ]);
    });

    test("leaves out nodes that are offline or take no jobs, and jobs that are not due", async ({
      queue,
      database,
    }) => {
      for (const name of ["anvil", "forge", "late"]) {
        await queue.reportNode(await sayHello(queue, name), { ...offer, ...waker });
      }
      await queue.enqueue(["anvil", "forge"].map((host) => makeJob({ host })));
      await queue.enqueue([makeJob({ host: "late", delayMs: 60_000 })]);
      await queue.setNodeStatus("anvil", { status: "paused" });
      expect(await queue.listWakeAddresses()).toMatchObject([{ name: "forge" }]);
      await expireLeases(database);
      expect(await queue.listWakeAddresses()).toEqual([]);
    });

    test("lists nodes with a job to cancel, and nodes that the caller names", async ({ queue }) => {
      const { job, session } = await runningJob(queue);
      await queue.reportNode(session, { ...offer, ...waker });
      for (const name of ["anvil", "idle"]) {
        await queue.reportNode(await sayHello(queue, name), { ...offer, ...waker });
      }
      expect(await queue.listWakeAddresses()).toEqual([]);
      await queue.setNodeStatus("anvil", { status: "draining" });
      expect(await queue.listWakeAddresses({ named: ["anvil"] })).toEqual([
        { name: "anvil", ...listed },
      ]);
      await queue.setNodeStatus("forge", { status: "paused" });
      await queue.cancel([job.id]);
      expect(await queue.listWakeAddresses()).toEqual([{ name: "forge", ...listed }]);
    });
  });
}

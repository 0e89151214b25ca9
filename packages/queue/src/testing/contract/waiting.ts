import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import { makePlan } from "../plan.ts";
import type { QueueTest } from "../queue-test.ts";
import { expireLeases } from "../rows.ts";
import { failure, success } from "../settlements.ts";

const limited = { concurrency: { key: "printer", limit: 2 } };

export function waitingContract(test: QueueTest): void {
  describe("listWaiting", () => {
    test("passes over jobs whose key is full, offers counted, and shows the others behind", async ({
      queue,
    }) => {
      const added = await queue.enqueue([
        ...Array.from({ length: 3 }, () => makeJob(limited)),
        makeJob({ step: "behind" }),
      ]);
      const [first, second, third, behind] = added.map(({ id }) => id);
      const before = await queue.listWaiting({ perKind: 2 });
      expect(before.map(({ id, concurrency }) => [id, concurrency])).toEqual([
        [first, { key: "printer", limit: 2, running: 0 }],
        [second, { key: "printer", limit: 2, running: 0 }],
      ]);

      const offers = [first, second].map((job) => ({
        job: job ?? 0,
        node: "forge",
        placement: {},
      }));
      await queue.place({ offers, refusals: [] });
      expect(await queue.listWaiting({ perKind: 2 })).toMatchObject([
        { id: behind, concurrency: null },
      ]);

      const session = await sayHello(queue, "forge");
      const [job] = await claim(queue, session);
      expect(await queue.listWaiting()).toHaveLength(1);
      if (job) await queue.settle("forge", [success(job)]);
      expect(await queue.listWaiting()).toMatchObject([
        { id: third, concurrency: { running: 1 } },
        { id: behind },
      ]);
    });

    test("lets neither a long run nor many single jobs hide the runs behind them", async ({
      queue,
    }) => {
      const { jobs, ...plan } = makePlan(
        Array.from({ length: 60 }, (_, at) => ({ step: `s${at}` })),
      );
      const { workflow } = plan;
      await queue.enqueue(Array.from({ length: 60 }, () => makeJob({ workflow, step: "single" })));
      const long = await queue.startRun({ ...plan, jobs });
      for (let run = 0; run < 40; run += 1) {
        await queue.startRun({ ...plan, jobs: jobs.slice(0, 1) });
      }
      const waiting = await queue.listWaiting({ perKind: 5 });
      expect(waiting.filter(({ runId }) => runId === null)).toHaveLength(5);
      expect(waiting.filter(({ runId }) => runId === long.runId)).toHaveLength(5);
      // Of those in seven of eight lanes; of 40 about 33, and at least 5 a lane.
      const others = waiting.filter(({ runId }) => runId !== null && runId !== long.runId);
      expect(others.length).toBeGreaterThan(10);
    });

    test("tells where the steps ran that a step comes after, and what its run has in flight", async ({
      queue,
    }) => {
      const plan = [
        { step: "a", host: "forge" },
        { step: "b", host: "oracle" },
        { step: "c", host: "oracle" },
        { step: "d", after: ["a"] },
      ];
      await queue.startRun(makePlan(plan));
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      await queue.settle("forge", [success(job)]);
      expect(await queue.listWaiting()).toMatchObject([
        { step: "d", ranOn: ["forge"], runInFlight: 2 },
      ]);
    });

    test("tells how a step fared lately, node by node", async ({ queue }) => {
      const forge = await sayHello(queue, "forge");
      const oracle = await sayHello(queue, "oracle");
      for (const [seq, { session, ends }] of [
        { session: forge, ends: success },
        { session: forge, ends: failure },
        { session: oracle, ends: success },
      ].entries()) {
        await queue.startRun(makePlan([{ step: "a" }]));
        await offerAll(queue, session.node);
        const job = only(await claim(queue, session, { seq: seq + 1 }));
        await queue.settle(session.node, [ends(job)]);
      }
      await queue.startRun(makePlan([{ step: "a" }, { step: "b" }]));
      const [a, b] = await queue.listWaiting();
      expect(a?.history).toHaveLength(2);
      expect(a?.history).toEqual(
        expect.arrayContaining([
          { node: "forge", succeeded: 1, failed: 1 },
          { node: "oracle", succeeded: 1, failed: 0 },
        ]),
      );
      expect(b).toMatchObject({ step: "b", history: [] });
    });

    test("names the nodes that were lost while they ran it, once each time", async ({
      queue,
      database,
    }) => {
      await queue.enqueue([makeJob()]);
      for (const node of ["forge", "oracle"]) {
        const session = await sayHello(queue, node);
        await offerAll(queue, node);
        await claim(queue, session);
        await expireLeases(database);
        await queue.reap();
      }
      expect(await queue.listWaiting()).toMatchObject([{ crashedOn: ["forge", "oracle"] }]);
    });
  });
}

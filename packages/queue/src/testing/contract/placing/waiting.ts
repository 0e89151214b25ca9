import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";

const limited = { concurrency: { key: "printer", limit: 2 } };

export function waitingContract(test: QueueTest): void {
  describe("listWaiting", () => {
    test("skips jobs whose key is full, counting offers, and lists the jobs behind them", async ({
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
      // The list has the runs in seven of eight lanes: about 33 of 40, and at least 5 in each lane.
      const others = waiting.filter(({ runId }) => runId !== null && runId !== long.runId);
      expect(others.length).toBeGreaterThan(10);
    });

    test("shows a job behind any number of jobs that no node is left for", async ({ queue }) => {
      const added = await queue.enqueue(Array.from({ length: 60 }, () => makeJob()));
      const ids = added.map(({ id }) => id);
      for (let times = 0; times < 3; times += 1) {
        const offers = ids.map((job) => ({ job, node: "forge", placement: {} }));
        await queue.place({ offers, refusals: [] });
        await queue.decline("forge", ids, "the disk is full");
      }
      const late = only(await queue.enqueue([makeJob()]));
      const waiting = await queue.listWaiting({ perKind: 50 });
      expect(waiting.map(({ id }) => id)).toContain(late.id);
      expect(waiting.filter(({ excluded }) => excluded.includes("forge"))).toHaveLength(50);
      expect(waiting.find(({ id }) => id === late.id)).toMatchObject({
        excluded: [],
        excludedUntil: null,
      });
    });

    test("excludes a node for longer each time, and lists it again afterwards", async ({
      queue,
      database,
    }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      const minutes: number[] = [];
      for (let times = 1; times <= 8; times += 1) {
        await offerAll(queue, "forge");
        await queue.decline("forge", [id], "no");
        const { excluded, excludedUntil } = only(await queue.listWaiting());
        expect(excluded).toEqual(times < 3 ? [] : ["forge"]);
        const [row] = await database.sql<{ left: number }[]>`
          select round(extract(epoch from ${excludedUntil ?? null}::timestamptz - now()) / 60)::int as left`;
        if (excludedUntil) minutes.push(row?.left ?? 0);
        await database.sql`
          update public.loom_jobs set excluded_until = now() - interval '1 second'
           where excluded_until is not null`;
        expect(await queue.listWaiting()).toMatchObject([{ excluded: [], excludedUntil: null }]);
      }
      expect(minutes).toEqual([1, 2, 4, 8, 16, 16]);
    });

    test("names the nodes of a step's dependencies, and counts its run's jobs on nodes", async ({
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

    test("counts the last outcomes of a step, node by node", async ({ queue }) => {
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

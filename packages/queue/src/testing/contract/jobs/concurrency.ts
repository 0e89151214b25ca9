import { describe, expect } from "vitest";
import type { Session } from "../../../sessions.ts";
import { claim, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";

const limitTo = (limit: number, key = "printer") => ({ concurrency: { key, limit } });

export function concurrencyContract(test: QueueTest): void {
  describe("a concurrency key", () => {
    test("limits its running jobs across all nodes", async ({ queue }) => {
      const batch = ["forge", "oracle"].map((host) => makeJob({ host, ...limitTo(1) }));
      await queue.enqueue(batch);
      const forge = await sayHello(queue, "forge");
      const oracle = await sayHello(queue, "oracle");
      const job = only(await claim(queue, forge));
      expect(await claim(queue, oracle)).toEqual([]);
      await queue.settle("forge", [success(job)]);
      expect(await claim(queue, oracle)).toHaveLength(1);
    });

    test.for(["failed", "released", "declined"] as const)(
      "has room again when a job is %s",
      async (outcome, { queue }) => {
        await queue.enqueue(
          [1, 2].map((n) => makeJob({ priority: n, host: "forge", ...limitTo(1) })),
        );
        const session = await sayHello(queue, "forge");
        const { id, fence } = only(await claim(queue, session));
        expect(await claim(queue, session, { seq: 2 })).toEqual([]);
        const why = outcome === "failed" ? { outcome, error: "no" } : { outcome, reason: "no" };
        await queue.settle("forge", [{ id, fence, ...why, delayMs: 60_000 }]);
        expect(await claim(queue, session, { seq: 2 })).toHaveLength(1);
      },
    );

    test("has room again when a node is lost", async ({ queue, database }) => {
      await queue.enqueue(["forge", "oracle"].map((host) => makeJob({ host, ...limitTo(1) })));
      await claim(queue, await sayHello(queue, "forge"));
      await expireLeases(database);
      await queue.reap();
      expect(await claim(queue, await sayHello(queue, "oracle"))).toHaveLength(1);
    });

    test("that is full does not hold up the jobs behind it", async ({ queue }) => {
      await queue.enqueue([
        ...Array.from({ length: 3 }, () => makeJob({ priority: 1, host: "forge", ...limitTo(1) })),
        makeJob({ step: "behind", priority: 2, host: "forge" }),
      ]);
      const session = await sayHello(queue, "forge");
      await claim(queue, session, { seq: 1, limit: 1 });
      const next = only(await claim(queue, session, { seq: 2, limit: 1 }));
      expect(next).toMatchObject({ step: "behind" });
    });

    test.for([
      { limits: [3, 1, 2], run: 2 },
      { limits: [1, 1, 3], run: 3 },
      { limits: [3, 3, 1], run: 1 },
    ])(
      "has one limit, that of its newest job: of $limits run $run",
      async ({ limits, run }, { queue }) => {
        await queue.enqueue(
          limits.map((limit, priority) => makeJob({ priority, host: "forge", ...limitTo(limit) })),
        );
        const session = await sayHello(queue, "forge");
        expect(await claim(queue, session)).toHaveLength(run);
        expect(await claim(queue, session, { seq: 2 })).toEqual([]);
      },
    );

    test("applies its limit to jobs that wait for a node too", async ({ queue }) => {
      await queue.enqueue([1, 1, 2].map((limit) => makeJob(limitTo(limit))));
      const waiting = await queue.listWaiting();
      expect(waiting.map(({ concurrency }) => concurrency?.limit)).toEqual([2, 2, 2]);
    });

    // The older jobs' limit is 1, the newer ones' 2: by their own limits, one newer job running
    // kept every older one waiting for as long as newer ones came.
    test("does not let newer jobs starve older ones", async ({ queue }) => {
      await queue.enqueue([makeJob({ host: "forge", priority: 5, ...limitTo(2) })]);
      const session = await sayHello(queue, "forge");
      await claim(queue, session);
      const old = only(await queue.enqueue([makeJob({ host: "forge", ...limitTo(1) })]));
      await queue.enqueue([makeJob({ host: "forge", ...limitTo(2) })]);
      expect(await claim(queue, session, { seq: 2 })).toMatchObject([{ id: old.id }]);
    });

    // Interleavings: two claims count at once: the key's row puts them one after the other,
    // and the second counts what the first committed. A claim counts while a settle is under
    // way: the job still counts, and one too few is admitted, never one too many.
    test("is never exceeded by 16 claimers on 4 nodes", { timeout: 30_000 }, async ({
      queue,
      database,
    }) => {
      const nodes = ["n0", "n1", "n2", "n3"];
      const jobs = Array.from({ length: 60 }, (_, index) =>
        makeJob({ host: nodes[index % 4] as string, ...limitTo(3) }),
      );
      await queue.enqueue(jobs);
      let settled = 0;
      const claimed = new Set<string>();
      const work = async (session: Session, numbers: { next: number }) => {
        while (settled < jobs.length) {
          numbers.next += 1;
          const got = await claim(queue, session, { seq: numbers.next, limit: 2 });
          for (const { id, fence } of got) claimed.add(`${id} ${fence}`);
          const answers = await queue.settle(session.node, got.map(success));
          settled += answers.filter(({ answer }) => answer === "accepted").length;
        }
      };
      const running: number[] = [];
      const problems: string[] = [];
      const watch = async () => {
        while (settled < jobs.length) {
          const [row] = await database.sql<{ running: number }[]>`
            select count(*)::integer as running from public.loom_jobs where state = 'running'`;
          running.push(row?.running ?? 0);
          problems.push(...(await queue.verify()));
        }
      };
      const sessions = await Promise.all(nodes.map((name) => sayHello(queue, name)));
      const claimers = sessions.flatMap((session) => {
        const numbers = { next: 0 };
        return Array.from({ length: 4 }, () => work(session, numbers));
      });
      await Promise.all([...claimers, watch()]);
      expect(claimed.size).toBe(60);
      expect(problems).toEqual([]);
      expect(Math.max(...running)).toBeLessThanOrEqual(3);
      // The history has claims in their order, and a settle before the claim that uses its place.
      const [row] = await database.sql<{ most: number }[]>`
        select max(running)::integer as most
          from (select sum(case type when 'job.claimed' then 1 when 'job.settled' then -1 else 0 end)
                       over (order by id) as running from public.loom_events) as history`;
      expect(row?.most).toBe(3);
    });

    // Interleavings: claims of several keys lock the keys' rows in the order of the keys,
    // whatever the order of their jobs; otherwise each of two could hold the other's next.
    test("may come with others in one claim without a deadlock", async ({ queue }) => {
      const keys = [..."abcdefghijkl"];
      const names = ["n0", "n1", "n2"];
      const sessions = await Promise.all(
        names.map((name) => sayHello(queue, name, { slots: 1_000 })),
      );
      for (let seq = 1; seq <= 10; seq += 1) {
        const jobs = names.flatMap((host, index) =>
          (index % 2 === 0 ? keys : keys.toReversed()).map((key, priority) =>
            makeJob({ host, step: key, priority, ...limitTo(2, key) }),
          ),
        );
        const added = await queue.enqueue(jobs);
        const claims = await Promise.all(
          sessions.map((session) => claim(queue, session, { seq, limit: 20 })),
        );
        const steps = claims.flat().map(({ step }) => step);
        expect(steps.sort()).toEqual(keys.flatMap((key) => [key, key]));
        await queue.cancel(added.map(({ id }) => id));
        await Promise.all(
          names.map((name, n) => queue.settle(name, (claims[n] ?? []).map(failure))),
        );
      }
    });
  });
}

import { describe, expect } from "vitest";
import type { ClaimedJob } from "../../../exchange/claims.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { passDeadlines } from "../../rows.ts";
import { success } from "../../settlements.ts";

export function claimContract(test: QueueTest): void {
  describe("claim", () => {
    test("that brings nothing has nothing of what its call settled", async ({
      queue,
      database,
    }) => {
      const { session, job } = await runningJob(queue);
      const [row] = await database.sql`
        select public.loom_exchange('forge', ${session.epoch}, 2, 1,
                                    array[${job.id}::bigint], array[${job.fence}::integer], array['null']) as answer`;
      expect(row?.answer).toMatchObject({ session: "live", jobs: null, runs: null });
    });

    test("brings the most urgent job first, with a fence", async ({ queue }) => {
      await queue.startRun(
        makePlan([
          { step: "later", priority: 200 },
          { step: "first", priority: 1 },
        ]),
      );
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      expect(await claim(queue, session)).toMatchObject([
        { step: "first", fence: 1, attempt: 1, input: {}, results: {} },
        { step: "later", fence: 1 },
      ]);
    });

    test("brings nothing that was offered to another node", async ({ queue }) => {
      await queue.startRun(makePlan([{ step: "only" }]));
      const session = await sayHello(queue, "oracle");
      await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      expect(await claim(queue, session)).toEqual([]);
    });

    test("brings a pinned job although no hub placed it", async ({ queue }) => {
      await queue.startRun(makePlan([{ step: "only", host: "forge" }]));
      const session = await sayHello(queue, "forge");
      expect(only(await claim(queue, session))).toMatchObject({ step: "only" });
    });

    test("never brings more than the node has slots for", async ({ queue }) => {
      await queue.startRun(makePlan([{ step: "a" }, { step: "b" }, { step: "c" }]));
      const session = await sayHello(queue, "forge", { slots: 2 });
      await offerAll(queue, "forge");
      expect(await claim(queue, session, { limit: 10 })).toHaveLength(2);
      expect(await claim(queue, session, { seq: 2, limit: 10 })).toHaveLength(0);
    });

    test("answers a repeated number with the same jobs, and an older one with none", async ({
      queue,
    }) => {
      await queue.startRun(makePlan([{ step: "a" }, { step: "b" }]));
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const first = await claim(queue, session, { seq: 1, limit: 1 });
      expect(await claim(queue, session, { seq: 1, limit: 1 })).toEqual(first);

      await claim(queue, session, { seq: 2, limit: 1 });
      await queue.settle("forge", [{ ...only(first), outcome: "succeeded", result: null }]);
      expect(await claim(queue, session, { seq: 1, limit: 1 })).toEqual([]);
    });

    test("answers a repeated number with what is left of its jobs", async ({ queue }) => {
      await queue.enqueue([makeJob({ host: "forge" }), makeJob({ host: "forge" })]);
      const session = await sayHello(queue, "forge");
      const [first, second] = await claim(queue, session);
      await queue.settle("forge", [success(first as ClaimedJob)]);
      expect(await claim(queue, session)).toEqual([second]);
    });

    test("brings equal priorities in the order in which they came", async ({ queue }) => {
      const added = await queue.enqueue(
        Array.from({ length: 5 }, () => makeJob({ host: "forge", priority: 7 })),
      );
      const jobs = await claim(queue, await sayHello(queue, "forge"));
      expect(jobs.map(({ id }) => id)).toEqual(added.map(({ id }) => id));
    });

    // Interleavings: copies of one call reach the session's row at once; the first writes
    // its number there, and the others find it and read the first one's jobs.
    test("answers all copies of one call with the same jobs", async ({ queue }) => {
      const steps = Array.from({ length: 10 }, (_, index) => ({ step: `s${index}` }));
      await queue.startRun(makePlan(steps));
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const answers = await Promise.all(
        Array.from({ length: 6 }, () => claim(queue, session, { seq: 1, limit: 3 })),
      );
      const ids = answers.map((jobs) => jobs.map(({ id }) => id));
      expect(ids[0]).toHaveLength(3);
      for (const other of ids) expect(other).toEqual(ids[0]);
    });

    // Interleavings: claimers of different nodes share no job; claimers of one node come
    // one after the other. A hub places while they claim; 'skip locked' on both sides.
    test("gives each of 3 000 jobs to one of 16 claimers, once", async ({ queue }) => {
      const steps = Array.from({ length: 3_000 }, (_, index) => ({ step: `s${index}` }));
      await queue.startRun(makePlan(steps));
      const names = Array.from({ length: 16 }, (_, index) => `node-${index}`);
      const sessions = await Promise.all(
        names.map((name) => sayHello(queue, name, { slots: 1_000 })),
      );
      let placed = 0;
      const place = async () => {
        for (let round = 0; placed < 3_000; round += 1) {
          const waiting = await queue.listWaiting({ perKind: 500 });
          const offers = waiting.map(({ id }, index) => ({
            job: id,
            node: names[(index + round) % names.length] ?? "",
            placement: null,
          }));
          const { length } = await queue.place({ offers, refusals: [] });
          placed += length;
        }
      };
      const claimed: number[] = [];
      const work = async (session: { node: string; epoch: number }) => {
        for (let seq = 1; claimed.length < 3_000; ) {
          const jobs = await claim(queue, session, { seq, limit: 50 });
          if (jobs.length > 0) seq += 1;
          claimed.push(...jobs.map(({ id }) => id));
        }
      };
      await Promise.all([place(), place(), ...sessions.map(work)]);
      expect(claimed).toHaveLength(3_000);
      expect(new Set(claimed).size).toBe(3_000);
    });

    // The answer was lost and the jobs went back: a caller that repeats the number for jobs that
    // it never saw would be deaf from then on.
    test("reports a used number even when its jobs are gone", async ({ queue, database }) => {
      await queue.enqueue([makeJob({ host: "forge" })]);
      const session = await sayHello(queue, "forge");
      await claim(queue, session, { seq: 1 });
      await passDeadlines(database);
      await queue.reap();
      expect(await queue.claim(session, { seq: 1, limit: 1 })).toEqual({
        session: "live",
        seq: 1,
        more: false,
        jobs: [],
        unreadable: [],
      });
      expect(await claim(queue, session, { seq: 2 })).toHaveLength(1);
    });

    test("brings nothing to a paused node", async ({ queue, database }) => {
      await queue.startRun(makePlan([{ step: "only" }]));
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      await database.sql`update public.openclaw_instances set status = 'paused'`;
      expect(await claim(queue, session)).toEqual([]);
    });

    test("tells the agent of an older epoch that it was superseded", async ({ queue }) => {
      const older = await sayHello(queue, "forge");
      await sayHello(queue, "forge");
      expect(await queue.claim(older, { seq: 1, limit: 1 })).toEqual({ session: "superseded" });
    });

    test("tells a node that never said hello that its session is dead", async ({ queue }) => {
      const answer = await queue.claim({ node: "nobody", epoch: 1 }, { seq: 1, limit: 1 });
      expect(answer).toEqual({ session: "dead" });
    });

    test("writes nothing when there is nothing to claim", async ({ queue, database }) => {
      const session = await sayHello(queue, "forge");
      const row = () => database.sql`select xmin, xmax from public.loom_node_sessions`;
      const before = await row();
      await claim(queue, session);
      expect(await row()).toEqual(before);
    });
  });
}

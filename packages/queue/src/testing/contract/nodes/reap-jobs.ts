import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, expireOffers } from "../../rows.ts";
import { failure } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";

/** Tests what the reaper does to jobs and offers. `reap.ts` tests what it does to nodes. */
export function reapJobsContract(test: QueueTest): void {
  describe("reap, for jobs and offers", () => {
    test("fails a job that has lost its node too often, and records the reason", async ({
      queue,
      database,
    }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "poison" }]));
      for (let loss = 0; loss < 4; loss += 1) {
        const session = await sayHello(queue, "forge");
        await offerAll(queue, "forge");
        only(await claim(queue, session));
        await expireLeases(database);
        await queue.reap();
      }
      expect(await queue.getRun(runId)).toMatchObject({
        status: "failed",
        jobs: [{ state: "failed", crashRestarts: 3, error: { code: "NODE_LOST" } }],
      });
    });

    test("lets a job end although its only node was lost with it twice", async ({
      queue,
      database,
    }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      for (let loss = 1; loss <= 4; loss += 1) {
        const session = await sayHello(queue, "forge");
        await offerAll(queue, "forge");
        only(await claim(queue, session));
        await expireLeases(database);
        await queue.reap();
        const waiting = await queue.listWaiting();
        if (loss === 2) expect(waiting).toMatchObject([{ excluded: ["forge"] }]);
        await database.sql`
          update public.loom_jobs set excluded_until = now() - interval '1 second'
           where excluded_until is not null`;
        if (loss < 4) expect(await queue.listWaiting()).toMatchObject([{ excluded: [] }]);
      }
      expect(await queue.getJob(id)).toMatchObject({
        state: "failed",
        error: { code: "NODE_LOST" },
      });
      const copy = only(await queue.redrive([id])).redrivenAs ?? 0;
      expect(await queue.listWaiting()).toMatchObject([{ id: copy, excluded: [], crashedOn: [] }]);
    });

    // Interleaving: the reaper has listed the job and waits for its run's lock. Before it gets that, the
    // node gives the job back itself. It waits by then, and nobody was lost with it: to exclude the node
    // anew would keep it from its only node, and would write a row that the reaper has not locked.
    test("excludes no node for a job that was given back meanwhile", async ({
      queue,
      database,
    }) => {
      const { job, runId, read } = await runningJob(queue);
      await database.sql`
        update public.loom_jobs
           set crashed_on = '{forge,forge}', excluded_nodes = '{forge}', excluded_until = now() - interval '1 second'`;
      await database.sql`update public.loom_node_sessions set dead = true where node = 'forge'`;
      const items = JSON.stringify([{ id: job.id, fence: job.fence, outcome: "released" }]);
      let reaping: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs where id = ${runId} for no key update`;
        reaping = queue.reap();
        await untilWaiting(database);
        await sql`select public.loom_exchange('forge', p_items => ${items}::text::json)`;
      });
      expect(await reaping).toMatchObject({ reaped: true, requeued: 0 });
      expect(await read()).toMatchObject({ state: "waiting", crashedOn: ["forge", "forge"] });
      expect(await queue.listWaiting()).toMatchObject([{ excluded: [] }]);
    });

    // Interleavings of a job that is lost with its node the second time. Placing first: the job runs, and
    // is not placed. The reaper first, or while placing looks: placing finds the row locked and passes by, or
    // finds it waiting, its exclusion written in the same transaction. A claim finds the offer, or none.
    // Every reader of the waiting job reads the exclusion with it.
    test("races with placing and a claim: every reader of the waiting job sees the exclusion", async ({
      queue,
      database,
    }) => {
      const heir = await sayHello(queue, "oracle", { slots: 100 });
      for (let seq = 1; seq <= 20; seq += 1) {
        const { id } = only(await queue.enqueue([makeJob()]));
        const session = await sayHello(queue, "forge");
        await queue.place({ offers: [{ job: id, node: "forge", placement: {} }], refusals: [] });
        only(await claim(queue, session));
        await database.sql`update public.loom_jobs set crashed_on = '{forge}' where id = ${id}`;
        await database.sql`
          update public.loom_node_sessions set expires_at = now() - interval '1 second' where node = 'forge'`;
        const offers = [{ job: id, node: "oracle", placement: {} }];
        const [seen] = await Promise.all([
          queue.listWaiting(),
          queue.reap(),
          queue.place({ offers, refusals: [] }),
          claim(queue, heir, { seq, limit: 1 }),
        ]);
        for (const waiting of seen) expect(waiting).toMatchObject({ id, excluded: ["forge"] });
        await queue.reap();
        const after = await queue.getJob(id);
        expect(after).toMatchObject({ crashRestarts: 1, crashedOn: ["forge", "forge"] });
        expect(["waiting", "pending", "running"]).toContain(after.state);
        expect(await queue.verify()).toEqual([]);
        await queue.cancel([id]);
      }
    });

    test("returns an offer that no node took, with the reason", async ({ queue, database }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "only" }, { step: "pinned", host: "forge" }]),
      );
      await offerAll(queue, "forge");
      await expireOffers(database);
      expect(await queue.reap()).toMatchObject({ expiredOffers: 1 });
      expect((await queue.getRun(runId)).jobs).toMatchObject([
        { state: "waiting", waitingReason: { code: "offer_expired" } },
        { state: "pending", targetHost: "forge" },
      ]);
    });

    test("gives back the other jobs when one cannot be written, and names that one", async ({
      queue,
      database,
    }) => {
      const added = await queue.enqueue(Array.from({ length: 6 }, () => makeJob()));
      const [lost, bad, late, badOffer, offered] = added.map(({ id }) => id);
      const session = await sayHello(queue, "forge", { slots: 2 });
      const offerTo = (node: string, ...jobs: (number | undefined)[]) =>
        queue.place({
          offers: jobs.map((job = 0) => ({ job, node, placement: {} })),
          refusals: [],
        });
      await offerTo("forge", lost, bad);
      await claim(queue, session);
      await offerTo("oracle", late, badOffer, offered);
      await expireLeases(database);
      await expireOffers(database);
      // Somebody's own constraint, or a trigger.
      await database.sql.unsafe(`
        alter table public.loom_jobs
          add constraint refuse check (not (id in (${bad}, ${badOffer}) and state = 'waiting')) not valid`);
      try {
        expect(await queue.reap()).toMatchObject({
          dead: ["forge"],
          requeued: 1,
          expiredOffers: 2,
          failed: [
            { job: bad, problem: expect.stringContaining("refuse") },
            { job: badOffer, problem: expect.stringContaining("refuse") },
          ],
        });
      } finally {
        await database.sql`alter table public.loom_jobs drop constraint refuse`;
      }
      expect(await queue.reap()).toMatchObject({ requeued: 1, expiredOffers: 1, failed: [] });
    });

    test("takes an offer back that ends later than offers do, and ends such an exclusion: the clock was set back", async ({
      queue,
      database,
    }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      await offerAll(queue, "forge");
      await database.sql`
        update public.loom_jobs set excluded_until = now() + interval '3 weeks', excluded_nodes = '{pi}'`;
      await database.sql`
        update public.loom_ready as ready
           set offer_expires_at = now() + interval '3 weeks', kind = public.loom_kind(spec.kind, null, '{pi}')
          from public.loom_job_specs as spec`;
      expect(await queue.reap()).toMatchObject({ expiredOffers: 1 });
      expect(await queue.listWaiting()).toMatchObject([{ id, excluded: [], excludedUntil: null }]);
      const offers = [{ job: id, node: "forge", placement: {} }];
      await expect(queue.place({ offers, refusals: [], offerMs: 3_600_001 })).rejects.toMatchObject(
        { code: "INVALID_ARGUMENT" },
      );
    });

    test("gives a pinned job back to its own node", async ({ queue, database }) => {
      const { read } = await runningJob(queue, { host: "forge" });
      await expireLeases(database);
      await queue.reap();
      expect(await read()).toMatchObject({ state: "pending", targetHost: "forge" });
    });

    test("keeps the error of the last failure when the next attempt is lost", async ({
      queue,
      database,
    }) => {
      const retry = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;
      const { job, session, read } = await runningJob(queue, { retry });
      await queue.settle("forge", [failure(job)]);
      await offerAll(queue, "forge");
      await claim(queue, session, { seq: 2 });
      await expireLeases(database);
      await queue.reap();
      expect(await read()).toMatchObject({ state: "waiting", error: { message: "boom" } });
    });

    test("races with the claim of an offer: one of them gets the job", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 20; seq += 1) {
        const [added] = await queue.enqueue([makeJob()]);
        await offerAll(queue, "forge");
        await expireOffers(database);
        const [{ expiredOffers }, claimed] = await Promise.all([
          queue.reap(),
          claim(queue, session, { seq, limit: 1 }),
        ]);
        expect(claimed.length + expiredOffers).toBe(1);
        await queue.cancel([added?.id ?? 0]);
      }
    });
  });
}

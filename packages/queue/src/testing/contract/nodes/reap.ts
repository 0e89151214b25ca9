import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, passDeadlines } from "../../rows.ts";
import { untilWaiting } from "../../until-waiting.ts";

export function reapContract(test: QueueTest): void {
  describe("reap", () => {
    test("leaves a node alone whose lease is valid", async ({ queue }) => {
      const { read } = await runningJob(queue);
      expect(await queue.reap()).toEqual({
        reaped: true,
        dead: [],
        requeued: 0,
        expiredOffers: 0,
        failed: [],
      });
      expect(await read()).toMatchObject({ state: "running" });
    });

    test("declares a silent node dead and gives its jobs back", async ({ queue, database }) => {
      const { read } = await runningJob(queue);
      await expireLeases(database);
      expect(await queue.reap()).toEqual({
        reaped: true,
        dead: ["forge"],
        requeued: 1,
        expiredOffers: 0,
        failed: [],
      });
      expect(await read()).toMatchObject({ state: "waiting", attempt: 0, crashRestarts: 1 });
      expect(only(await queue.listNodes())).toMatchObject({ online: false });
    });

    test("renews every lease when no hub has watched", async ({ queue, database }) => {
      const { session, read } = await runningJob(queue);
      await expireLeases(database);
      await database.sql`update public.loom_leaders set ticked_at = now() - interval '10 minutes'`;
      expect(await queue.reap()).toMatchObject({ dead: [], requeued: 0 });
      expect(await read()).toMatchObject({ state: "running" });
      expect(await queue.heartbeat(session)).toMatchObject({ session: "live" });
    });

    test("gives a fresh lease to a session whose lease is longer than leases are: the clock was set back", async ({
      queue,
      database,
    }) => {
      await runningJob(queue);
      await database.sql`update public.loom_node_sessions set expires_at = now() + interval '3 weeks'`;
      await queue.reap();
      const [row] = await database.sql`
        select expires_at < now() + interval '46 seconds' as is_fresh from public.loom_node_sessions`;
      expect(row).toEqual({ is_fresh: true });
    });

    test("refuses a late result once another node has the job", async ({ queue, database }) => {
      const { job } = await runningJob(queue);
      await expireLeases(database);
      await queue.reap();
      const other = await sayHello(queue, "oracle");
      await offerAll(queue, "oracle");
      const again = only(await claim(queue, other));
      expect(again).toMatchObject({ id: job.id, fence: 2 });

      expect(
        await queue.settle("forge", [{ ...job, outcome: "succeeded", result: "late" }]),
      ).toMatchObject([{ answer: "unknown" }]);
      expect(
        await queue.settle("oracle", [{ ...again, outcome: "succeeded", result: "right" }]),
      ).toMatchObject([{ answer: "accepted" }]);
    });

    test.for(["waiting", "pending"])(
      "salvages a late result while the job is %s",
      async (state, { queue, database }) => {
        const { job, read, runId } = await runningJob(queue);
        await expireLeases(database);
        await queue.reap();
        if (state === "pending") await offerAll(queue, "oracle");
        expect(
          await queue.settle("forge", [{ ...job, outcome: "succeeded", result: "late" }]),
        ).toMatchObject([{ answer: "salvaged", state: "succeeded" }]);
        expect(await read()).toMatchObject({
          result: "late",
          attempt: 1,
          ranOn: "forge",
          targetHost: "forge",
        });
        expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
      },
    );

    test("does not take a late failure for an outcome", async ({ queue, database }) => {
      const { job, read } = await runningJob(queue);
      await expireLeases(database);
      await queue.reap();
      expect(
        await queue.settle("forge", [{ ...job, outcome: "failed", error: "late" }]),
      ).toMatchObject([{ answer: "stale" }]);
      expect(await read()).toMatchObject({ state: "waiting" });
    });

    // Interleavings: settle locks first: the reaper skips the job, or finds it over.
    // Reaper first: the settle finds it waiting, and it is salvaged. One outcome either way.
    test("races with a settle without losing or repeating the outcome", async ({
      queue,
      database,
    }) => {
      for (let round = 0; round < 20; round += 1) {
        const { job, read } = await runningJob(queue);
        await expireLeases(database);
        const [answers] = await Promise.all([
          queue.settle("forge", [{ ...job, outcome: "succeeded", result: round }]),
          queue.reap(),
        ]);
        expect(["accepted", "salvaged"]).toContain(only(answers).answer);
        await queue.reap();
        expect(await read()).toMatchObject({ state: "succeeded", result: round, attempt: 1 });
      }
    });

    // Interleavings: the duty's row lets one work; the others skip it and do nothing.
    test("gives a job back once, however many hubs reap", async ({ queue, database }) => {
      const { read } = await runningJob(queue);
      await expireLeases(database);
      const answers = await Promise.all(Array.from({ length: 6 }, () => queue.reap()));
      expect(answers.reduce((sum, { requeued }) => sum + requeued, 0)).toBe(1);
      expect(await read()).toMatchObject({ crashRestarts: 1 });
    });

    test("gives a job back that its node does not settle by the deadline", async ({
      queue,
      database,
    }) => {
      const { read } = await runningJob(queue);
      await passDeadlines(database);
      expect(await queue.reap()).toMatchObject({ dead: [], requeued: 1 });
      expect(await read()).toMatchObject({ state: "waiting" });
    });

    test("gives back a bounded number of jobs at a time", async ({ queue, database }) => {
      await queue.enqueue(Array.from({ length: 5 }, () => makeJob({ host: "forge" })));
      await claim(queue, await sayHello(queue, "forge"));
      await expireLeases(database);
      const requeued: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        requeued.push((await queue.reap({ limit: 2 })).requeued);
      }
      expect(requeued).toEqual([2, 2, 1, 0]);
    });

    // Interleaving: the reaper has listed the job and waits for its run's lock. Before it
    // gets that, the late node gives the job back and another one claims it.
    test("leaves a job to the node that has it now", async ({ queue, database }) => {
      const { job, runId, read } = await runningJob(queue);
      const other = await sayHello(queue, "oracle");
      await database.sql`update public.loom_node_sessions set dead = true where node = 'forge'`;
      const items = JSON.stringify([{ id: job.id, fence: job.fence, outcome: "released" }]);
      const offers = JSON.stringify([{ job: job.id, node: "oracle" }]);
      let reaping: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs where id = ${runId} for no key update`;
        reaping = queue.reap();
        await untilWaiting(database);
        await sql`select public.loom_exchange('forge', p_items => ${items}::text::json)`;
        await sql`select public.loom_place_jobs(${offers}::text::json)`;
        await sql`select public.loom_exchange('oracle', ${other.epoch}, 1, 1)`;
      });
      expect(await reaping).toMatchObject({ reaped: true, requeued: 0 });
      expect(await read()).toMatchObject({ state: "running", ranOn: "oracle", crashRestarts: 0 });
    });

    // Interleavings: the heartbeat first: the lease is fresh and the reaper passes by. The
    // reaper first, or at the same time: it skips a locked row, else the heartbeat finds 'dead'.
    test("races with a heartbeat: the node learns what the reaper did", async ({
      queue,
      database,
    }) => {
      for (let round = 0; round < 20; round += 1) {
        const { session, read } = await runningJob(queue);
        await expireLeases(database);
        const [{ dead }, beat] = await Promise.all([queue.reap(), queue.heartbeat(session)]);
        expect(beat.session).toBe(dead.length > 0 ? "dead" : "live");
        expect(await read()).toMatchObject({ state: dead.length > 0 ? "waiting" : "running" });
        await queue.cancelRun((await read()).runId ?? "");
        await queue.reap();
      }
    });

    // Interleavings: the first call to lock the offer gets it; the other skips it, or finds it
    // running or waiting when the lock is free.
  });
}

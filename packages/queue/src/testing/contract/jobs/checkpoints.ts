import { describe, expect } from "vitest";
import type { ClaimedJob } from "../../../exchange/claims.ts";
import type { Queue } from "../../../queue.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, makeDue } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";
import { expandAll, result, startMap } from "../runs/map-run.ts";

const save = (queue: Queue, job: Pick<ClaimedJob, "id" | "fence">, seq: number, json: string) =>
  queue.saveCheckpoint({ node: "forge", id: job.id, fence: job.fence }, { seq, json });

const retry = { attempts: 3, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

export function checkpointsContract(test: QueueTest): void {
  describe("a checkpoint", () => {
    test("comes with the next claim, whatever ended the attempt", async ({ queue, database }) => {
      const { job, session } = await runningJob(queue, { retry });
      expect(job.checkpoint).toBeUndefined();
      expect(await save(queue, job, 1, '{"page":1}')).toBe("accepted");
      expect(await save(queue, job, 2, '{"page":2}')).toBe("accepted");

      // Its own failure.
      await queue.settle("forge", [failure(job)]);
      await makeDue(database);
      await offerAll(queue, "forge");
      const second = only(await claim(queue, session, { seq: 2 }));
      expect(second).toMatchObject({ attempt: 2, fence: 2, checkpoint: { page: 2 } });

      // Its node is lost, and another one claims it.
      expect(await save(queue, second, 1, '{"page":3}')).toBe("accepted");
      await expireLeases(database);
      await queue.reap();
      const heir = await sayHello(queue, "oracle");
      await offerAll(queue, "oracle");
      const third = only(await claim(queue, heir));
      expect(third).toMatchObject({ attempt: 2, fence: 3, checkpoint: { page: 3 } });

      // It is given back, and a new claim without a word of its own brings the same.
      await queue.settle("oracle", [{ id: third.id, fence: third.fence, outcome: "released" }]);
      await offerAll(queue, "oracle");
      expect(only(await claim(queue, heir, { seq: 2 }))).toMatchObject({ checkpoint: { page: 3 } });
      // So does a repeated one.
      expect(only(await claim(queue, heir, { seq: 2 }))).toMatchObject({ checkpoint: { page: 3 } });
    });

    test("comes with the job that has one, and with no other of the claim", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
      const session = await sayHello(queue, "forge");
      const job = only(await claim(queue, session));
      await save(queue, job, 1, '"kept"');
      await queue.settle("forge", [{ id, fence: 1, outcome: "released" }]);
      await queue.enqueue([makeJob({ host: "forge" }), makeJob({ host: "forge" })]);
      const jobs = await claim(queue, session, { seq: 2 });
      expect(jobs.map(({ checkpoint }) => checkpoint)).toEqual(["kept", undefined, undefined]);
    });

    test("comes to a node that has an open job's slot", async ({ queue }) => {
      const { job, session } = await runningJob(queue, { retry });
      await save(queue, job, 1, "7");
      await queue.settle("forge", [{ id: job.id, fence: 1, outcome: "released" }]);
      await queue.place({
        offers: [],
        refusals: [],
        open: [{ job: job.id, nodes: ["forge"] }],
      });
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ checkpoint: 7 });
    });

    test.for([
      { title: "the largest", json: JSON.stringify("x".repeat(262_142)) },
      { title: "a NUL", json: JSON.stringify("a\0b") },
      { title: "null", json: "null" },
      { title: "half of a pair", json: '"\\ud83d"' },
    ])("is the value that was kept: $title", async ({ json }, { queue }) => {
      const { job, session } = await runningJob(queue);
      expect(await save(queue, job, 1, json)).toBe("accepted");
      await queue.settle("forge", [{ id: job.id, fence: 1, outcome: "released" }]);
      await offerAll(queue, "forge");
      const again = only(await claim(queue, session, { seq: 2 }));
      expect(again.checkpoint).toEqual(JSON.parse(json));
    });

    test.for([
      { title: "too large", json: JSON.stringify("x".repeat(262_143)), answer: "too_large" },
      { title: "no JSON", json: "{", answer: "invalid" },
      { title: "too deep", json: "[".repeat(101) + "]".repeat(101), answer: "invalid" },
    ])("is refused, and the one before stays: $title", async ({ json, answer }, { queue }) => {
      const { job, session } = await runningJob(queue);
      await save(queue, job, 1, '"good"');
      expect(await save(queue, job, 2, json)).toBe(answer);
      await queue.settle("forge", [{ id: job.id, fence: 1, outcome: "released" }]);
      await offerAll(queue, "forge");
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ checkpoint: "good" });
    });

    test("is refused from who does not hold the job", async ({ queue }) => {
      const { job, session } = await runningJob(queue, { retry });
      const of = (node: string, id: number, fence: number) =>
        queue.saveCheckpoint({ node, id, fence }, { seq: 1, json: "1" });
      expect(await of("oracle", job.id, 1)).toBe("unknown");
      expect(await of("forge", 404, 1)).toBe("unknown");
      expect(await of("forge", job.id, 2)).toBe("stale");
      await queue.settle("forge", [{ id: job.id, fence: 1, outcome: "released" }]);
      // Nobody has claimed it since, and still: this attempt is over.
      expect(await of("forge", job.id, 1)).toBe("stale");
      await offerAll(queue, "forge");
      const again = only(await claim(queue, session, { seq: 2 }));
      expect(again.checkpoint).toBeUndefined();
      expect(await of("forge", job.id, 1)).toBe("stale");
      expect(await of("forge", job.id, 2)).toBe("accepted");
      await queue.settle("forge", [success(again)]);
      expect(await of("forge", job.id, 2)).toBe("stale");
    });

    // A copy of an earlier call comes after a later one.
    test("is never replaced by an older one of its attempt", async ({ queue }) => {
      const { job, session } = await runningJob(queue);
      await save(queue, job, 1, '"old"');
      await save(queue, job, 2, '"new"');
      expect(await save(queue, job, 1, '"old"')).toBe("accepted");
      await queue.settle("forge", [{ id: job.id, fence: 1, outcome: "released" }]);
      await offerAll(queue, "forge");
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ checkpoint: "new" });
    });

    // Interleaving: the requeue has the job's lock, and is not committed. The write waits for it, and is stale.
    test("that comes while its job is given back is not kept", async ({ queue, database }) => {
      const { job, session } = await runningJob(queue);
      let saving: Promise<unknown> | undefined;
      await expireLeases(database);
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_reap()`;
        saving = save(queue, job, 1, '"late"');
        await untilWaiting(database);
      });
      expect(await saving).toBe("stale");
      const { epoch } = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const again = only(await claim(queue, { ...session, epoch }));
      expect(again.checkpoint).toBeUndefined();
    });

    // Interleaving: the write has the job's lock. A settle waits for it, and what follows knows of the checkpoint.
    test("that is written while its job is settled comes with the next claim", async ({
      queue,
      database,
    }) => {
      const { job, session } = await runningJob(queue, { retry });
      let settling: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_save_checkpoint('forge', ${job.id}, 1, 1, '"just in time"')`;
        settling = queue.settle("forge", [failure(job)]);
        await untilWaiting(database);
      });
      await settling;
      await makeDue(database);
      await offerAll(queue, "forge");
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({
        checkpoint: "just in time",
      });
    });

    test("is removed with its job", async ({ queue, database }) => {
      const { job } = await runningJob(queue);
      await save(queue, job, 1, "1");
      await queue.settle("forge", [success(job)]);
      await database.sql`update public.loom_runs set finished_at = now() - interval '31 days'`;
      await queue.prune();
      expect(await database.sql`select from public.loom_checkpoints`).toHaveLength(0);
    });
  });

  describe("the checkpoint of a step whose run is retried", () => {
    /** A run of a → b and c; a kept something and succeeded, b and c kept something and failed. */
    async function failedRun(queue: Queue): Promise<string> {
      const host = "forge";
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host },
          { step: "b", host, after: ["a"] },
          { step: "c", host },
        ]),
      );
      const session = await sayHello(queue, host);
      for (let seq = 1; (await queue.getRun(runId)).status === "running"; seq += 1) {
        const jobs = await claim(queue, session, { seq });
        for (const job of jobs) await save(queue, job, 1, JSON.stringify(`of ${job.step}`));
        await queue.settle(
          host,
          jobs.map((job) => (job.step === "a" ? success : failure)(job)),
        );
      }
      return runId;
    }
    const claimed = async (queue: Queue) =>
      Object.fromEntries(
        (await claim(queue, await sayHello(queue, "forge"))).map(({ step, checkpoint }) => [
          step,
          checkpoint,
        ]),
      );

    test.for([
      { what: { mode: "failed" }, brings: { b: "of b", c: "of c" } },
      // What was named is wanted anew.
      { what: { mode: "from", step: "b" }, brings: { b: undefined, c: "of c" } },
      { what: { mode: "all" }, brings: { a: undefined, c: undefined } },
    ] as const)(
      "goes on, unless it is wanted anew: $what.mode",
      async ({ what, brings }, { queue }) => {
        await queue.retryRun(await failedRun(queue), what);
        expect(await claimed(queue)).toEqual(brings);
      },
    );

    test("is not used when what the step reads is made anew", async ({ queue }) => {
      const old = await failedRun(queue);
      const { runId } = await queue.retryRun(old, { mode: "from", step: "a" });
      const session = await sayHello(queue, "forge");
      const jobs = await claim(queue, session);
      await queue.settle("forge", jobs.map(success));
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ step: "b" });
      expect(only(await claim(queue, session, { seq: 2 })).checkpoint).toBeUndefined();
      await queue.cancelRun(runId);
    });

    test("goes on through a second retry", async ({ queue }) => {
      const { runId } = await queue.retryRun(await failedRun(queue), { mode: "failed" });
      await queue.cancelRun(runId);
      await queue.retryRun(runId, { mode: "failed" });
      expect(await claimed(queue)).toEqual({ b: "of b", c: "of c" });
    });

    test("goes on for each item that had one, also behind the limit of items", async ({
      queue,
    }) => {
      const { runId, session } = await startMap(queue, ["a", "b", "c"], { concurrency: 1 });
      await expandAll(queue);
      for (const seq of [2, 3, 4]) {
        const item = only(await claim(queue, session, { seq }));
        if (item.item?.value !== "b") await save(queue, item, 1, `"of ${item.item?.value}"`);
        await queue.settle("forge", [failure(item)]);
      }
      await queue.retryRun(runId, { mode: "failed" });
      await expandAll(queue);
      const seen: unknown[] = [];
      for (const seq of [5, 6, 7]) {
        const item = only(await claim(queue, session, { seq }));
        seen.push(item.checkpoint);
        await queue.settle("forge", [result(item, 1)]);
      }
      expect(seen).toEqual(["of a", undefined, "of c"]);
    });

    test("goes on in the copy of a job of its own", async ({ queue }) => {
      await queue.enqueue([makeJob({ host: "forge" })]);
      const session = await sayHello(queue, "forge");
      const job = only(await claim(queue, session));
      await save(queue, job, 1, '"of the job"');
      await queue.settle("forge", [failure(job)]);
      await queue.redrive([job.id]);
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({
        checkpoint: "of the job",
      });
    });
  });
}

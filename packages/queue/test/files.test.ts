import { createHash, randomUUID } from "node:crypto";
import type { Database } from "@loom/local-db";
import type { FileClaim, Queue } from "@loom/queue";
import { databaseTest as test } from "@loom/queue/testing";
import type { FileRef } from "@loom/workflow";
import { describe, expect } from "vitest";
import {
  claim,
  offerAll,
  only,
  type RunningJob,
  runningJob,
  sayHello,
} from "../src/testing/agent.ts";
import { joinAs } from "../src/testing/hosted/node-key.ts";
import { makeJob } from "../src/testing/new-job.ts";
import { makePlan } from "../src/testing/plan.ts";
import { untilWaiting } from "../src/testing/until-waiting.ts";

const STORE = "folder";

const fileOf = (content: string, name = "a.txt"): FileRef => ({
  name,
  size: content.length,
  sha256: createHash("sha256").update(content).digest("hex"),
});

const claimOf = ({ job: { id, fence } }: RunningJob, node = "forge"): FileClaim => ({
  ...{ node, job: id, fence },
});

/** Stores a file for the run of a running job, as a hub does. */
async function put(queue: Queue, running: RunningJob, file: FileRef): Promise<string> {
  const id = await queue.beginFile(claimOf(running), STORE, file);
  if (id === null) throw new Error("the run has it already");
  await queue.finishFile(id);
  return id;
}

/** A person's upload that nothing needs, stored long ago. */
async function leaveUnused(queue: Queue, file: FileRef): Promise<string> {
  const id = await queue.beginUpload(STORE, file);
  await queue.finishFile(id);
  return id;
}

const sweep = (queue: Queue) => queue.takeUnusedFiles(STORE, { graceMs: 0 });

describe("a file of a run", () => {
  test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

  test("is stored under the fence of its job, and read by nodes that hold a job of the run", async ({
    queue,
  }) => {
    const running = await runningJob(queue);
    const file = fileOf("hello");
    const id = await put(queue, running, file);
    expect(await queue.openFile(claimOf(running), file.sha256)).toEqual({
      ...file,
      id,
      store: STORE,
    });
    expect(await queue.listFiles(running.runId)).toMatchObject([
      { ...file, step: "only", jobId: running.job.id },
    ]);
    expect(await queue.findRunFile(running.runId, file.sha256)).toMatchObject({ id });
    expect(await queue.findRunFile(randomUUID(), file.sha256)).toBeNull();
    expect(await queue.listFiles(randomUUID())).toBeNull();
  });

  test("is sent once for one content, under any number of names", async ({ queue }) => {
    const running = await runningJob(queue);
    await put(queue, running, fileOf("hello"));
    expect(await queue.beginFile(claimOf(running), STORE, fileOf("hello", "b.txt"))).toBeNull();
    expect((await queue.listFiles(running.runId))?.map(({ name }) => name)).toEqual([
      "a.txt",
      "b.txt",
    ]);
  });

  test("is begun and finished once, however often the calls come", async ({ queue }) => {
    const running = await runningJob(queue);
    const file = fileOf("hello");
    const ids = await Promise.all(
      Array.from({ length: 5 }, () => queue.beginFile(claimOf(running), STORE, file)),
    );
    const id = only([...new Set(ids)]);
    await Promise.all(ids.map(() => queue.finishFile(id ?? "")));
    expect(await queue.listFiles(running.runId)).toHaveLength(1);
  });

  test("is refused to all but the holder of the job", async ({ queue, database }) => {
    const oracle = await joinAs("oracle", { queue, database });
    const forge = await joinAs("forge", { queue, database });
    const running = await runningJob(queue);
    const file = fileOf("hello");
    await put(queue, running, file);
    const own = claimOf(running);
    const held = { code: "JOB_NOT_HELD" };
    for (const wrong of [
      { ...own, fence: own.fence + 1 },
      { ...own, fence: own.fence - 1 },
      { ...own, job: own.job + 1 },
      { ...own, node: "oracle" },
    ]) {
      await expect(queue.beginFile(wrong, STORE, fileOf("other"))).rejects.toMatchObject(held);
      await expect(queue.openFile(wrong, file.sha256)).rejects.toMatchObject(held);
    }
    const as = { reason: "NODE_KEY_REFUSED" };
    await expect(oracle.queue.openFile(own, file.sha256)).rejects.toMatchObject(as);
    await expect(oracle.queue.beginFile(own, STORE, file)).rejects.toMatchObject(as);
    await expect(forge.queue.finishFile(randomUUID())).rejects.toMatchObject({
      code: "QUEUE_ACCESS",
    });
    expect(await forge.queue.openFile(own, file.sha256)).toMatchObject(file);
    await queue.settle("forge", [
      { id: own.job, fence: own.fence, outcome: "succeeded", result: file },
    ]);
    await expect(queue.openFile(own, file.sha256)).rejects.toMatchObject(held);
  });

  test("is not there for another run, whose nodes know its digest", async ({ queue }) => {
    const file = fileOf("secret");
    await put(queue, await runningJob(queue), file);
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    const session = await sayHello(queue, "oracle");
    await offerAll(queue, "oracle");
    const job = only(await claim(queue, session));
    const other = { node: "oracle", job: job.id, fence: job.fence };
    expect(await queue.openFile(other, file.sha256)).toBeNull();
    expect(await queue.listFiles(runId)).toEqual([]);
    // Who has the content itself gets it by sending it.
    const id = await queue.beginFile(other, STORE, file);
    expect(id).not.toBeNull();
  });

  test("is a run's from its start where the input names it, and one's that repeats it", async ({
    queue,
  }) => {
    const file = fileOf("hello");
    await leaveUnused(queue, file);
    const plan = { ...makePlan([{ step: "only" }]), input: { of: [file] } };
    const { runId } = await queue.startRun(plan);
    expect(await queue.listFiles(runId)).toMatchObject([{ ...file, step: null }]);
    expect(await sweep(queue)).toEqual([]);
    await queue.cancelRun(runId);
    const again = await queue.retryRun(runId, { mode: "all" });
    expect(await queue.listFiles(again.runId)).toMatchObject([file]);
    await queue.prune({ keepDays: 0 });
    expect(await queue.listFiles(runId)).toBeNull();
    expect(await sweep(queue)).toEqual([]);
    expect(await queue.listFiles(again.runId)).toMatchObject([file]);
  });

  test("goes with the run, and not before", async ({ queue }) => {
    const running = await runningJob(queue);
    const file = fileOf("hello");
    const id = await put(queue, running, file);
    await queue.prune({ keepDays: 0 });
    expect(await sweep(queue)).toEqual([]);
    const { id: job, fence } = running.job;
    await queue.settle("forge", [{ id: job, fence, outcome: "succeeded", result: file }]);
    expect(await sweep(queue)).toEqual([]);
    await queue.prune({ keepDays: 0 });
    expect(await sweep(queue)).toEqual([id]);
    // The answer may be lost, and the hub may end before the object is gone.
    expect(await sweep(queue)).toEqual([id]);
    await queue.forgetFiles([id]);
    expect(await sweep(queue)).toEqual([]);
  });

  test("goes a day after its run where no result names it", async ({ queue, database }) => {
    const running = await runningJob(queue);
    const [kept, lost] = [fileOf("kept"), fileOf("lost")];
    await put(queue, running, kept);
    await put(queue, running, lost);
    const { id, fence } = running.job;
    const tomorrow = async () => {
      await database.sql`update public.loom_run_files set created_at = created_at - interval '25 hours'`;
      await database.sql`update public.loom_runs set finished_at = finished_at - interval '25 hours'`;
      await queue.prune({ keepDays: 30 });
    };
    await tomorrow();
    expect(await queue.listFiles(running.runId)).toHaveLength(2);
    await queue.settle("forge", [{ id, fence, outcome: "succeeded", result: [kept] }]);
    await queue.prune({ keepDays: 30 });
    expect(await queue.listFiles(running.runId)).toHaveLength(2);
    await tomorrow();
    expect(await queue.listFiles(running.runId)).toMatchObject([kept]);
  });

  test("stays where the error of its step names it, as the output of a command that failed", async ({
    queue,
    database,
  }) => {
    const running = await runningJob(queue);
    const [kept, lost] = [fileOf("kept"), fileOf("lost")];
    await put(queue, running, kept);
    await put(queue, running, lost);
    const { id, fence } = running.job;
    const error = { code: "COMMAND_FAILED", message: "it failed", out: kept };
    await queue.settle("forge", [{ id, fence, outcome: "failed", error, retryable: false }]);
    await database.sql`update public.loom_runs set finished_at = finished_at - interval '25 hours'`;
    await queue.prune({ keepDays: 30 });
    expect(await queue.listFiles(running.runId)).toMatchObject([kept]);
  });

  test("stays where one of two steps that stored it names it", async ({ queue, database }) => {
    const file = fileOf("the same");
    const { runId } = await queue.startRun(makePlan([{ step: "first" }, { step: "second" }]));
    const session = await sayHello(queue, "forge");
    await offerAll(queue, "forge");
    const jobs = await claim(queue, session);
    expect(jobs).toHaveLength(2);
    for (const [at, { id, fence }] of jobs.entries()) {
      const begun = await queue.beginFile({ node: "forge", job: id, fence }, STORE, file);
      if (begun !== null) await queue.finishFile(begun);
      const result = at === 0 ? null : file;
      await queue.settle("forge", [{ id, fence, outcome: "succeeded", result }]);
    }
    await database.sql`update public.loom_run_files set created_at = created_at - interval '25 hours'`;
    await database.sql`update public.loom_runs set finished_at = finished_at - interval '25 hours'`;
    await queue.prune({ keepDays: 30 });
    expect(await queue.listFiles(runId)).toMatchObject([file]);
  });

  test("is not the 10 001st of its run, also where several are finished together", async ({
    queue,
    database,
  }) => {
    const running = await runningJob(queue);
    await put(queue, running, fileOf("one"));
    const [first, second] = [
      await queue.beginFile(claimOf(running), STORE, fileOf("first")),
      await queue.beginFile(claimOf(running), STORE, fileOf("second")),
    ];
    await database.sql`
      insert into public.loom_run_files (run_id, file, name, is_kept)
      select run_id, file, 'name ' || number, true
        from public.loom_run_files, generate_series(1, 9998) as number`;
    await queue.finishFile(first ?? "");
    await expect(queue.finishFile(second ?? "")).rejects.toMatchObject({ code: "TOO_MANY_FILES" });
    await expect(queue.beginFile(claimOf(running), STORE, fileOf("third"))).rejects.toMatchObject({
      code: "TOO_MANY_FILES",
    });
    // The answer to the last one that fitted was lost.
    await queue.finishFile(first ?? "");
  });

  test("has a plain name, a size and a digest", async ({ queue }) => {
    const running = await runningJob(queue);
    const own = claimOf(running);
    for (const name of ["", ".", "..", "../../x", "/etc/passwd", "a\\b", "a\nb", "x".repeat(256)]) {
      await expect(
        queue.beginFile(own, STORE, { ...fileOf("a"), name }),
        name,
      ).rejects.toMatchObject({ code: "FILE_NAME_INVALID" });
    }
    await expect(
      queue.beginFile(own, STORE, { ...fileOf("a"), size: 5 * 2 ** 30 + 1 }),
    ).rejects.toMatchObject({ code: "FILE_TOO_LARGE" });
    await expect(
      queue.beginFile(own, STORE, { ...fileOf("a"), sha256: "ABC" }),
    ).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const single = only(await queue.enqueue([makeJob({ host: "forge" })]));
    const job = only(await claim(queue, running.session, { seq: 2 }));
    expect(job.id).toBe(single.id);
    await expect(
      queue.beginFile({ node: "forge", job: job.id, fence: job.fence }, STORE, fileOf("a")),
    ).rejects.toMatchObject({ code: "FILES_NEED_A_RUN" });
    for (let at = 0; at < 32; at += 1) await queue.beginFile(own, STORE, fileOf(`${at}`));
    await expect(queue.beginFile(own, STORE, fileOf("33"))).rejects.toMatchObject({
      code: "TOO_MANY_UPLOADS",
    });
  });

  test("that was begun and never finished goes when its job is no longer held", async ({
    queue,
  }) => {
    const running = await runningJob(queue);
    const long = { graceMs: 3_600_000 };
    const id = await queue.beginFile(claimOf(running), STORE, fileOf("hello"));
    expect(await queue.takeUnusedFiles(STORE, long)).toEqual([]);
    const { id: job, fence } = running.job;
    await queue.settle("forge", [{ id: job, fence, outcome: "succeeded", result: null }]);
    await expect(queue.finishFile(id ?? "")).rejects.toMatchObject({ code: "JOB_NOT_HELD" });
    expect(await queue.takeUnusedFiles(STORE, long)).toEqual([id]);
    expect(await queue.takeUnusedFiles("bucket", long)).toEqual([]);
  });
});

/** Nobody has used the stored files for longer than they are kept. */
const passDays = ({ sql }: Pick<Database, "sql">) =>
  sql`update public.loom_files set used_at = used_at - interval '2 days' where state = 'stored'`;

describe("a file that is swept at the moment of", () => {
  test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

  test("an upload of its content that comes first is kept", async ({ queue, database }) => {
    const file = fileOf("hello");
    const old = await leaveUnused(queue, file);
    await passDays(database);
    const running = await runningJob(queue);
    const id = await queue.beginFile(claimOf(running), STORE, file);
    await database.sql.begin(async (sql) => {
      await sql`select public.loom_finish_file(${id})`;
      expect(await queue.takeUnusedFiles(STORE)).toEqual([]);
    });
    expect(await queue.findRunFile(running.runId, file.sha256)).toMatchObject({ id: old });
    // The new object is a copy that nobody needs.
    expect(await sweep(queue)).toEqual([id]);
  });

  test("an upload of its content that comes second leaves the new object", async ({
    queue,
    database,
  }) => {
    const file = fileOf("hello");
    const old = await leaveUnused(queue, file);
    await passDays(database);
    const running = await runningJob(queue);
    const id = await queue.beginFile(claimOf(running), STORE, file);
    const { finishing } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_take_unused_files(${STORE})`;
      const finishing = queue.finishFile(id ?? "");
      await untilWaiting(database);
      return { finishing };
    });
    await finishing;
    expect(await queue.findRunFile(running.runId, file.sha256)).toMatchObject({ id });
    expect(await sweep(queue)).toEqual([old]);
  });

  test("a start whose input names it, which comes first, is kept", async ({ queue, database }) => {
    const file = fileOf("hello");
    await leaveUnused(queue, file);
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    await database.sql.begin(async (sql) => {
      await sql`select public.loom_use_files(${runId}, ${JSON.stringify(file)})`;
      expect(await sweep(queue)).toEqual([]);
    });
    expect(await sweep(queue)).toEqual([]);
    expect(await queue.listFiles(runId)).toMatchObject([file]);
  });

  test("a start whose input names it, which comes second, is not given", async ({
    queue,
    database,
  }) => {
    const file = fileOf("hello");
    const id = await leaveUnused(queue, file);
    const { starting } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_take_unused_files(${STORE}, 0)`;
      const starting = queue.startRun({ ...makePlan([{ step: "only" }]), input: file });
      await untilWaiting(database);
      return { starting };
    });
    expect(await queue.listFiles((await starting).runId)).toEqual([]);
    expect(await sweep(queue)).toEqual([id]);
  });

  test("a repetition of its run that comes second is not given", async ({ queue, database }) => {
    const file = fileOf("hello");
    const running = await runningJob(queue);
    const stored = await put(queue, running, file);
    const { id, fence } = running.job;
    await queue.settle("forge", [{ id, fence, outcome: "succeeded", result: file }]);
    const { retrying } = await database.sql.begin(async (sql) => {
      // As prune and sweep do, which come between the retry's two statements.
      await sql`delete from public.loom_run_files where run_id = ${running.runId}`;
      await sql`select public.loom_release_files(array[${stored}::uuid])`;
      await sql`select public.loom_take_unused_files(${STORE}, 0)`;
      const retrying = queue.retryRun(running.runId, { mode: "all" });
      await untilWaiting(database);
      return { retrying };
    });
    expect(await queue.listFiles((await retrying).runId)).toEqual([]);
    expect(await sweep(queue)).toEqual([stored]);
  });

  test("two uploads of one content end together: one object stays", async ({ queue, database }) => {
    const file = fileOf("hello");
    const running = await runningJob(queue);
    const ids = [
      await queue.beginFile(claimOf(running), STORE, file),
      await queue.beginUpload(STORE, file),
    ];
    const { finishing } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_finish_file(${ids[0] ?? ""})`;
      const finishing = queue.finishFile(ids[1] ?? "");
      await untilWaiting(database);
      return { finishing };
    });
    await finishing;
    expect(await sweep(queue)).toEqual([ids[1]]);
    expect(await queue.openFile(claimOf(running), file.sha256)).toMatchObject({ id: ids[0] });
  });
});

type Sql = Database["sql"];

describe("the hygiene of files", () => {
  test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

  /** Adds runs of 90 days ago, each with so many files that they have in common. */
  async function addRuns(
    { queue, sql }: { queue: Queue; sql: Sql },
    { runs, files, isKept }: { runs: number; files: number; isKept: boolean },
  ): Promise<void> {
    const shared = await leaveUnused(queue, fileOf(randomUUID()));
    for (let at = 0; at < runs; at += 1) {
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await queue.cancelRun(runId);
      await sql`update public.loom_runs set finished_at = now() - interval '90 days' where id = ${runId}`;
      await sql`
        insert into public.loom_run_files (run_id, file, name, is_kept)
        select ${runId}, ${shared}, 'name ' || number, ${isKept} from generate_series(1, ${files}) as number`;
    }
  }

  test("removes the files of many runs in bounded steps, and at least one run in each", async ({
    queue,
    database: { sql },
  }) => {
    // With a limit of 2, files of 20 rows go in one call, or one run with more.
    await addRuns({ queue, sql }, { runs: 3, files: 15, isKept: true });
    await addRuns({ queue, sql }, { runs: 1, files: 50, isKept: true });
    const steps: [runs: number, rows: number][] = [];
    for (let more = true; more; ) {
      const [before] = await sql<
        { n: number }[]
      >`select count(*)::int as n from public.loom_run_files`;
      const pruned = await queue.prune({ keepDays: 30, limit: 2 });
      const [after] = await sql<
        { n: number }[]
      >`select count(*)::int as n from public.loom_run_files`;
      steps.push([pruned.runs, (before?.n ?? 0) - (after?.n ?? 0)]);
      more = pruned.more;
    }
    expect(steps.filter(([runs]) => runs > 0)).toEqual([
      [1, 15],
      [1, 15],
      [1, 15],
      [1, 50],
    ]);
    expect(await sql`select from public.loom_run_files`).toEqual([]);
    expect(await sweep(queue)).toHaveLength(2);
  });

  test("leaves no run behind that is kept for another time because it failed", async ({
    queue,
    database: { sql },
  }) => {
    await addRuns({ queue, sql }, { runs: 4, files: 15, isKept: true });
    await sql`update public.loom_runs set finished_at = now() - interval '10 days'`;
    const [workflow] = await sql<
      { id: string }[]
    >`select workflow_id as id from public.loom_runs limit 1`;
    const day = 86_400_000;
    const retention = [
      { workflow: workflow?.id ?? "", retention: { succeededMs: 20 * day, failedMs: 5 * day } },
    ];
    for (let more = true; more; ) {
      ({ more } = await queue.prune({ keepDays: 30, limit: 2, retention }));
    }
    expect(await sql`select from public.loom_runs`).toEqual([]);
  });

  // Read row by row, what stays made each call slower than the one before.
  test("costs the same however many files are kept and however many runs go on", async ({
    queue,
    database: { sql },
  }) => {
    await using held = await sql
      .reserve()
      .then((reserved) =>
        Object.assign(reserved, { [Symbol.asyncDispose]: async () => reserved.release() }),
      );
    type Explained = { "QUERY PLAN": { Plan: Record<string, number> }[] };
    const blocks = async (call: string) => {
      const [row] = await held.unsafe<Explained[]>(
        `explain (analyze, buffers, format json) select * from ${call}`,
      );
      const plan = row?.["QUERY PLAN"][0]?.Plan ?? {};
      return (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
    };
    const running = await runningJob(queue);
    await put(queue, running, fileOf("one"));
    const calls = [
      `public.loom_take_unused_files('${STORE}', 0)`,
      "public.loom_prune_run_files(500)",
    ];
    const measure = async () => {
      for (const call of calls) await blocks(call);
      return [await blocks(calls[0] ?? ""), await blocks(calls[1] ?? "")];
    };
    const before = await measure();
    // Files that a run has whose steps go on, and others that ended runs have.
    await held`
      insert into public.loom_files (id, store, digest, size, state, name, may_be_unused, used_at)
      select gen_random_uuid(), ${STORE}, md5(number::text) || md5(number::text), 1, 'stored', 'a', false, now() - interval '9 days'
        from generate_series(1, 30000) as number`;
    await held`
      insert into public.loom_run_files (run_id, file, name, is_kept, created_at)
      select ${running.runId}, id, 'a', false, now() - interval '9 days'
        from public.loom_files where not may_be_unused on conflict do nothing`;
    // And many runs that ended, whose files were looked at.
    await held`
      insert into public.loom_runs
      select (jsonb_populate_record(run, jsonb_build_object(
               'id', gen_random_uuid(), 'finished_at', now() - interval '9 days', 'status', 'succeeded'))).*
        from public.loom_runs as run, generate_series(1, 20000)`;
    await held`analyze public.loom_runs, public.loom_run_files, public.loom_files`;
    const after = await measure();
    for (const [at, call] of calls.entries()) {
      expect((after[at] ?? 0) - (before[at] ?? 0), call).toBeLessThan(100);
    }
    expect(await sql`select from public.loom_run_files where not is_kept`).toHaveLength(30_002);
    await held`delete from public.loom_run_files`;
    await held`delete from public.loom_files`;
    await held`delete from public.loom_runs where finished_at is not null`;
  });
});

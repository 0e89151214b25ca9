import type { Queue } from "@loom/queue";
import { claim, makePlan, only, sayHello } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { postgresTest as test } from "./fixtures.ts";

const step = { step: "ask", host: "forge", hasCondition: true };
const start = (queue: Queue) => queue.startRun(makePlan([step, { step: "next", after: ["ask"] }]));
const take = async (queue: Queue) => only(await queue.takeConditions());

describe("a step with a condition", () => {
  test("is suspended until a hub decides, and is then there for its node", async ({ queue }) => {
    const { runId } = await queue.startRun(
      makePlan(
        [
          { step: "first", host: "forge" },
          { ...step, after: ["first"] },
        ],
        {
          input: { ref: "main" },
        },
      ),
    );
    const session = await sayHello(queue, "forge");
    const first = only(await claim(queue, session));
    await queue.settle("forge", [
      { id: first.id, fence: first.fence, outcome: "succeeded", result: { size: 3 } },
    ]);
    expect(await queue.getRun(runId)).toMatchObject({
      waitingReason: { code: "condition" },
      jobs: [{ state: "succeeded" }, { state: "suspended", waitingReason: { code: "condition" } }],
    });
    expect(await claim(queue, session, { seq: 2 })).toEqual([]);

    const taken = await take(queue);
    expect(taken).toMatchObject({
      step: "ask",
      version: "v1",
      fence: 1,
      input: { ref: "main" },
      results: { first: { size: 3 } },
    });
    // Another hub does not get it now.
    expect(await queue.takeConditions()).toEqual([]);
    const decision = { id: taken.id, fence: 1, outcome: "runs" } as const;
    expect(await queue.recordConditions([decision])).toEqual([
      { id: taken.id, answer: "accepted" },
    ]);
    // The answer was lost.
    expect(await queue.recordConditions([decision])).toEqual([{ id: taken.id, answer: "stale" }]);
    expect(await claim(queue, session, { seq: 2 })).toMatchObject([{ step: "ask" }]);
    expect(await queue.verify()).toEqual([]);
  });

  test("is skipped, and the steps after it run without its result", async ({ queue }) => {
    const { runId } = await start(queue);
    const { id, fence } = await take(queue);
    await queue.recordConditions([{ id, fence, outcome: "skips" }]);
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "skipped", skipReason: "condition" },
      { state: "waiting" },
    ]);
    expect(await queue.verify()).toEqual([]);
  });

  test("fails with the error of its condition", async ({ queue }) => {
    const { runId } = await start(queue);
    const { id, fence } = await take(queue);
    const error = { code: "CONDITION_FAILED", message: "when threw: no size" };
    await queue.recordConditions([{ id, fence, outcome: "fails", error }]);
    expect(await queue.getRun(runId)).toMatchObject({
      status: "failed",
      jobs: [
        { state: "failed", error },
        { state: "skipped", skipReason: "need_failed" },
      ],
    });
    expect(await queue.verify()).toEqual([]);
  });

  test("is taken by another hub when the first is away for longer than 30 s, whose decision is refused then", async ({
    queue,
    sql,
  }) => {
    await start(queue);
    const first = await take(queue);
    await sql`update public.loom_suspended set due_at = now() - interval '1 ms'`;
    const second = await take(queue);
    expect(second.fence).toBe(2);
    expect(
      await queue.recordConditions([{ id: first.id, fence: first.fence, outcome: "skips" }]),
    ).toEqual([{ id: first.id, answer: "stale" }]);
    expect(
      await queue.recordConditions([{ id: first.id, fence: 2, outcome: "runs" }]),
    ).toMatchObject([{ answer: "accepted" }]);
    expect(await queue.getJob(first.id)).toMatchObject({ state: "pending" });
  });

  test("is due again when it could not be evaluated, and says why", async ({ queue }) => {
    await start(queue);
    const { id, fence } = await take(queue);
    const later = { id, fence, outcome: "later", reason: "no code", delayMs: 0 } as const;
    await queue.recordConditions([later]);
    expect(await queue.getJob(id)).toMatchObject({
      state: "suspended",
      waitingReason: { summary: "its condition cannot be evaluated yet: no code" },
    });
    expect(await take(queue)).toMatchObject({ id, fence: 2 });
  });

  // Interleaving: the cancel has the run's lock; the decision waits for it, and finds the job cancelled.
  test("stays cancelled when the decision comes during the cancel", async ({ queue, sql }) => {
    const { runId } = await start(queue);
    const { id, fence } = await take(queue);
    const held = await sql.reserve();
    await held`begin`;
    await held`select public.loom_cancel_run(${runId})`;
    const recorded = queue.recordConditions([{ id, fence, outcome: "runs" }]);
    await expect
      .poll(
        () => sql`select from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'`,
        { interval: 5 },
      )
      .toHaveLength(1);
    await held`commit`;
    held.release();
    expect(await recorded).toEqual([{ id, answer: "stale" }]);
    expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    expect(await queue.verify()).toEqual([]);
  });

  test("is not evaluated where its needs decide that it does not run", async ({ queue }) => {
    const { runId } = await queue.startRun(
      makePlan([
        { step: "first", host: "forge" },
        { ...step, after: ["first"] },
      ]),
    );
    const { id, fence } = only(await claim(queue, await sayHello(queue, "forge")));
    await queue.settle("forge", [{ id, fence, outcome: "failed", error: null }]);
    expect(await queue.takeConditions()).toEqual([]);
    expect((await queue.getRun(runId)).jobs[1]).toMatchObject({ skipReason: "need_failed" });
  });

  test("wakes the hub that leads", async ({ queue }) => {
    const round = async () => {
      const answer = await queue.round({ holder: "hub", leaseMs: 60_000 });
      return "hasConditions" in answer && answer.hasConditions;
    };
    expect(await round()).toBe(false);
    await start(queue);
    expect(await round()).toBe(true);
    await take(queue);
    expect(await round()).toBe(false);
  });

  // Read row by row, they made a round forty times as long.
  test("costs a round nothing while its condition is not due", async ({ sql }) => {
    await using connection = await sql
      .reserve()
      .then((reserved) =>
        Object.assign(reserved, { [Symbol.asyncDispose]: async () => reserved.release() }),
      );
    type Explained = { "QUERY PLAN": { Plan: { "Shared Hit Blocks": number } }[] };
    const blocks = async () => {
      const [row] = await connection<Explained[]>`
        explain (analyze, buffers, format json) select * from public.loom_next_due()`;
      return row?.["QUERY PLAN"][0]?.Plan["Shared Hit Blocks"] ?? 0;
    };
    // The first one also reads the catalogs.
    await blocks();
    const before = await blocks();
    await connection`
      insert into public.loom_suspended (job_id, kind, due_at)
      select id, 'condition', now() + interval '1 hour' from generate_series(1, 50000) as id`;
    // The rows are in more than 250 blocks.
    expect((await blocks()) - before).toBeLessThan(100);
  });

  test.for([
    { title: "no list", items: {} },
    { title: "an unknown outcome", items: [{ id: 1, fence: 1, outcome: "perhaps" }] },
    {
      title: "an error that is no JSON",
      items: [{ id: 1, fence: 1, outcome: "fails", error: "{" }],
    },
  ])("is not decided by $title", async ({ items }, { sql }) => {
    await expect(
      sql`select public.loom_record_conditions(${JSON.stringify(items)}::json)`,
    ).rejects.toMatchObject({ code: "PT400" });
  });
});

import type { Queue } from "@loom/queue";
import { claim, makePlan, only, sayHello } from "@loom/queue/testing";
import type { PlannedJob } from "@loom/workflow";
import type { Sql } from "postgres";
import { describe, expect } from "vitest";
import { postgresTest as test } from "./fixtures.ts";

type Wait = NonNullable<PlannedJob["wait"]>;

const sleep = (rest: Partial<Extract<Wait, { kind: "sleep" }>> = {}): Wait => ({
  ...{ kind: "sleep", forMs: 3_600_000, until: null },
  ...rest,
});
const signal = (rest: Partial<Extract<Wait, { kind: "signal" }>> = {}): Wait => ({
  ...{ kind: "signal", event: "paid", key: null, timeoutMs: null, parses: false },
  ...rest,
});
const approval = (rest: Partial<Extract<Wait, { kind: "approval" }>> = {}): Wait => ({
  ...{ kind: "approval", title: "Ship?", who: [], timeoutMs: null, onTimeout: "fail" },
  ...{ inputSchema: null, defaultInput: null },
  ...rest,
});

const start = (queue: Queue, wait: Wait, rest: Partial<PlannedJob> = {}) =>
  queue.startRun(
    makePlan([
      { step: "wait", wait, ...rest },
      { step: "next", after: ["wait"], host: "forge" },
    ]),
  );
const jobOf = async (queue: Queue, runId: string) => {
  const [job] = (await queue.getRun(runId)).jobs;
  if (!job) throw new Error("the run has no step");
  return job;
};
/** Lets time pass for everything that waits. */
const pass = async (sql: Sql) => {
  await sql`update public.loom_suspended set due_at = now() - interval '1 ms', ends_at = now() - interval '1 ms' where kind <> 'condition'`;
  await sql`update public.loom_approvals set expires_at = now() - interval '1 ms' where state = 'pending'`;
};
const endAll = async (queue: Queue) => {
  let ended = 0;
  for (let calls = 0; calls < 20; calls += 1) {
    const answer = await queue.endWaits();
    expect(answer.failed).toEqual([]);
    ended += answer.ended;
    if (!answer.more) return ended;
  }
  throw new Error("there is always more to end");
};

describe("a step that sleeps", () => {
  test("takes no node, ends when its time has come, and lets the next one run", async ({
    queue,
    sql,
  }) => {
    const { runId } = await start(queue, sleep());
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "suspended",
      waitingReason: { code: "sleep", until: expect.stringMatching(/Z$/) },
    });
    expect(await endAll(queue)).toBe(0);
    expect(await queue.takeConditions()).toEqual([]);
    await pass(sql);
    expect(await endAll(queue)).toBe(1);
    expect(await queue.getRun(runId)).toMatchObject({
      jobs: [
        { state: "succeeded", result: null, targetHost: null, ranOn: null },
        { state: "pending" },
      ],
    });
    expect(await claim(queue, await sayHello(queue, "forge"))).toMatchObject([
      { step: "next", results: { wait: null } },
    ]);
    expect(await queue.verify()).toEqual([]);
  });

  test("until a time that has passed ends at once, and says which time", async ({ queue }) => {
    const { runId } = await start(queue, sleep({ forMs: null, until: "2020-01-31T18:00:00.500Z" }));
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({
      result: { until: "2020-01-31T18:00:00.500Z" },
    });
  });

  test("until a time that a function computes asks a hub first", async ({ queue, sql }) => {
    const wait = sleep({ forMs: null });
    const { runId } = await start(queue, wait, { hasCondition: true });
    const { id, fence } = only(await queue.takeConditions());
    await queue.recordConditions([{ id, fence, outcome: "runs", until: "2126-01-01T00:00:00Z" }]);
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "suspended",
      waitingReason: { code: "sleep", until: "2126-01-01T00:00:00Z" },
    });
    expect(await queue.takeConditions()).toEqual([]);
    expect(await queue.verify()).toEqual([]);
    await pass(sql);
    expect(await endAll(queue)).toBe(1);
    expect(await queue.verify()).toEqual([]);
  });

  test("wakes the hub that leads in time", async ({ queue, sql }) => {
    const round = async () => {
      const answer = await queue.round({ holder: "hub", leaseMs: 60_000 });
      return "hasWaits" in answer ? answer : undefined;
    };
    await start(queue, sleep({ forMs: 20_000 }));
    const first = await round();
    expect(first).toMatchObject({ hasWaits: false, hasConditions: false });
    expect(first?.dueInMs).toBeGreaterThan(19_000);
    expect(first?.dueInMs).toBeLessThanOrEqual(20_000);
    await pass(sql);
    expect(await round()).toMatchObject({ hasWaits: true });
    await endAll(queue);
    expect(await round()).toMatchObject({ hasWaits: false });
  });

  test("stays cancelled when its time comes during the cancel", async ({ queue, sql }) => {
    const { runId } = await start(queue, sleep());
    await pass(sql);
    const held = await sql.reserve();
    await held`begin`;
    await held`select public.loom_cancel_run(${runId})`;
    const ended = queue.endWaits();
    await untilLocked(sql);
    await held`commit`;
    held.release();
    expect(await ended).toMatchObject({ ended: 0, failed: [] });
    expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    expect(await queue.verify()).toEqual([]);
  });
});

const untilLocked = (sql: Sql) =>
  expect
    .poll(
      () => sql`select from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'`,
      { interval: 5 },
    )
    .toHaveLength(1);

describe("a step that waits for a signal", () => {
  test("ends with the data of the signal of its key", async ({ queue }) => {
    const { runId } = await start(queue, signal({ key: "7" }));
    expect(await queue.sendSignal({ event: "paid", key: "8" })).toMatchObject({
      waiting: 0,
      keys: ["7"],
    });
    expect(await endAll(queue)).toBe(0);
    const sent = await queue.sendSignal({ event: "paid", key: "7", data: { cents: 950 } });
    expect(sent).toMatchObject({ waiting: 1 });
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "succeeded",
      result: { cents: 950 },
    });
    expect(await queue.verify()).toEqual([]);
  });

  test("gets one that came before it, once", async ({ queue, sql }) => {
    await queue.sendSignal({ event: "paid", data: 1 });
    expect(await endAll(queue)).toBe(0);
    const first = await start(queue, signal());
    const second = await start(queue, signal());
    expect(await endAll(queue)).toBe(1);
    const jobs = [await jobOf(queue, first.runId), await jobOf(queue, second.runId)];
    expect(jobs.map(({ state }) => state)).toEqual(["succeeded", "suspended"]);
    expect(await sql`select from public.loom_signals`).toHaveLength(0);
  });

  test("is one of all that get the signal that comes", async ({ queue, sql }) => {
    const runs = [];
    for (let count = 0; count < 3; count += 1) runs.push(await start(queue, signal()));
    await queue.sendSignal({ event: "paid", data: 1 });
    // Two in the first call, and the third in the next one.
    expect(await queue.endWaits({ limit: 2 })).toMatchObject({ ended: 2, more: true });
    expect(await endAll(queue)).toBe(1);
    for (const { runId } of runs) {
      expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: 1 });
    }
    expect(await sql`select from public.loom_signals`).toHaveLength(0);
    expect(await queue.verify()).toEqual([]);
  });

  test("takes the older of two, and leaves the other one for the next", async ({ queue, sql }) => {
    const { runId } = await start(queue, signal());
    await queue.sendSignal({ event: "paid", data: "first" });
    await queue.sendSignal({ event: "paid", data: "second" });
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({ result: "first" });
    expect(await sql`select payload from public.loom_signals`).toEqual([{ payload: '"second"' }]);
  });

  test("fails when its time is over, but not if the signal was sent before that", async ({
    queue,
    sql,
  }) => {
    const late = await start(queue, signal({ timeoutMs: 60_000 }));
    await pass(sql);
    await queue.sendSignal({ event: "paid" });
    expect(await endAll(queue)).toBe(1);
    expect(await queue.getRun(late.runId)).toMatchObject({
      status: "failed",
      jobs: [{ state: "failed", error: { code: "SIGNAL_TIMED_OUT" } }, { state: "skipped" }],
    });
    // That one was kept, and was sent before the next wait begins and ends.
    const inTime = await start(queue, signal({ timeoutMs: 60_000 }));
    await sql`update public.loom_suspended set due_at = now(), ends_at = now()`;
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, inTime.runId)).toMatchObject({ state: "succeeded" });
    expect(await queue.verify()).toEqual([]);
  });

  test("has its schema checked by a hub", async ({ queue }) => {
    const { runId } = await start(queue, signal({ parses: true, timeoutMs: 60_000 }));
    await queue.sendSignal({ event: "paid", data: null });
    expect(await endAll(queue)).toBe(0);
    expect(await queue.verify()).toEqual([]);
    const { id, fence, payload } = only(await queue.takeConditions());
    expect(payload).toBe("null");
    // It waits no more: what came is not taken back, and nothing else is accepted.
    expect(await queue.recordConditions([{ id, fence, outcome: "runs" }])).toMatchObject([
      { answer: "stale" },
    ]);
    await queue.recordConditions([{ id, fence, outcome: "ends", result: { cents: 0 } }]);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: { cents: 0 } });
    expect(await queue.verify()).toEqual([]);
  });

  // Interleaving: the wait begins in a transaction that is open while the signal is sent and looked at.
  test("gets a signal that was sent and kept while its wait began", async ({ queue, sql }) => {
    const { runId } = await queue.startRun(
      makePlan([
        { step: "first", host: "forge" },
        { step: "wait", after: ["first"], wait: signal() },
      ]),
    );
    const { id, fence } = only(await claim(queue, await sayHello(queue, "forge")));
    const held = await sql.reserve();
    await held`begin`;
    await held`select public.loom_cancel_jobs('{}')`;
    await held`update public.loom_jobs set state = 'succeeded', finished_at = now(), result = 'null', settled_fence = ${fence} where id = ${id}`;
    await held`select public.loom_advance_runs(array[${id}::bigint])`;
    await queue.sendSignal({ event: "paid", data: "kept" });
    expect(await queue.endWaits()).toMatchObject({ ended: 0, more: false });
    await held`commit`;
    held.release();
    expect(await endAll(queue)).toBe(1);
    expect((await queue.getRun(runId)).jobs[1]).toMatchObject({
      state: "succeeded",
      result: "kept",
    });
  });

  // Interleaving: the wait begins and is looked at while the transaction that sends the signal is open.
  test("gets a signal whose sending was open when the wait was looked at", async ({
    queue,
    sql,
  }) => {
    const held = await sql.reserve();
    await held`begin`;
    await held`select public.loom_send_signal('paid', null, '"late"')`;
    const { runId } = await start(queue, signal());
    expect(await queue.endWaits()).toMatchObject({ ended: 0, more: false });
    await held`commit`;
    held.release();
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: "late" });
  });

  test("two calls that end waits at once end each once", async ({ queue }) => {
    const runs = [];
    for (let count = 0; count < 20; count += 1)
      runs.push(await start(queue, signal({ key: `${count}` })));
    for (let count = 0; count < 20; count += 1) {
      await queue.sendSignal({ event: "paid", key: `${count}`, data: count });
    }
    const answers = await Promise.all([1, 2, 3].map(() => queue.endWaits({ limit: 3 })));
    const rest = await endAll(queue);
    expect(answers.reduce((sum, { ended }) => sum + ended, rest)).toBe(20);
    expect(await queue.verify()).toEqual([]);
  });

  test("is not sent too much", async ({ queue, sql }) => {
    const long = "x".repeat(262_144);
    await expect(queue.sendSignal({ event: "paid", data: long })).rejects.toMatchObject({
      code: "INPUT_TOO_LARGE",
    });
    await expect(queue.sendSignal({ event: "Paid!" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await sql`insert into public.loom_signals (event, key, payload, is_new) select 'paid', '', '1', false from generate_series(1, 1000)`;
    await expect(queue.sendSignal({ event: "paid", key: "other" })).rejects.toMatchObject({
      code: "SIGNALS_FULL",
    });
    expect(await queue.sendSignal({ event: "shipped" })).toMatchObject({ waiting: 0 });
    // One for which a step waits is not kept.
    await start(queue, signal({ key: "other" }));
    expect(await queue.sendSignal({ event: "paid", key: "other" })).toMatchObject({ waiting: 1 });
    // Those that nobody wanted for a week make room.
    await sql`update public.loom_signals set sent_at = now() - interval '8 days'`;
    await queue.prune({ keepDays: 30 });
    expect(await queue.sendSignal({ event: "paid" })).toMatchObject({ waiting: 0 });
  });
});

describe("a step that a person approves", () => {
  test("is one of many that are asked at once, and an event has room for them", async ({
    queue,
    sql,
  }) => {
    const { runId } = await start(queue, approval());
    const { id } = await jobOf(queue, runId);
    const held = await sql.reserve();
    try {
      await held`begin`;
      await held`
        insert into public.loom_jobs (run_at, run_id, spec, state, priority, workflow_id, step_id)
        select run_at, run_id, spec, 'suspended', priority, workflow_id, 'copy-' || n
          from public.loom_jobs cross join generate_series(1, 20000) as n where id = ${id}`;
      await held`select public.loom_begin_waits(array(select id from public.loom_jobs where step_id like 'copy-%'))`;
      const [asked] = await held`
        select max(cardinality(jobs)) <= 16384 as has_room, sum(cardinality(jobs))::int as asked
          from public.loom_event_batches where detail = 'asked'`;
      expect(asked).toEqual({ has_room: true, asked: 20_001 });
    } finally {
      await held`rollback`;
      held.release();
    }
  });

  const decision = { decision: "approved", by: "token ada", names: ["ada"] } as const;
  const ask = async (queue: Queue, wait: Wait = approval()) => {
    const { runId } = await start(queue, wait);
    const asked = only((await queue.listApprovals({ runId })).approvals);
    return { runId, asked };
  };

  test("shows what its function returned, and ends with the decision", async ({ queue }) => {
    const { runId } = await start(queue, approval({ timeoutMs: 60_000 }), { hasCondition: true });
    expect((await queue.listApprovals()).approvals).toEqual([]);
    const { id, fence } = only(await queue.takeConditions());
    await queue.recordConditions([{ id, fence, outcome: "runs", shown: { version: "1.2" } }]);
    const asked = only((await queue.listApprovals()).approvals);
    expect(asked).toMatchObject({
      ...{ id, runId, step: "wait", state: "pending", title: "Ship?", who: [] },
      ...{ shown: { version: "1.2" }, schema: null, onTimeout: "fail", decidedAt: null },
    });
    expect(asked.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await queue.verify()).toEqual([]);
    const { digest } = asked;
    const decided = await queue.decideApproval(id, {
      ...{ ...decision, digest, note: "go", input: { part: 0.1 } },
    });
    expect(decided).toMatchObject({ state: "approved", decidedBy: "token ada", note: "go" });
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "succeeded",
      result: { by: "token ada", note: "go", input: { part: 0.1 } },
    });
    expect((await queue.listApprovals()).approvals).toEqual([]);
    expect((await queue.listApprovals({ pending: false })).approvals).toHaveLength(1);
    expect(await queue.verify()).toEqual([]);
  });

  test("fails when it is rejected, with the note", async ({ queue }) => {
    const { runId, asked } = await ask(queue);
    const { id, digest } = asked;
    await queue.decideApproval(id, {
      ...decision,
      decision: "rejected",
      digest,
      note: "not today",
    });
    expect(await queue.getRun(runId)).toMatchObject({
      status: "failed",
      jobs: [
        {
          state: "failed",
          error: { code: "APPROVAL_REJECTED", message: "token ada rejected it: not today" },
        },
        { state: "skipped", skipReason: "need_failed" },
      ],
    });
    expect(await queue.verify()).toEqual([]);
  });

  test("is decided once: the same decision gets the same answer, another one is refused", async ({
    queue,
  }) => {
    const { asked } = await ask(queue);
    const { id, digest } = asked;
    const first = await queue.decideApproval(id, { ...decision, digest });
    expect(await queue.decideApproval(id, { ...decision, digest })).toEqual(first);
    const other = { ...decision, digest, decision: "rejected" } as const;
    await expect(queue.decideApproval(id, other)).rejects.toMatchObject({
      code: "APPROVAL_DECIDED",
    });
    const bob = { ...decision, digest, by: "token bob", names: ["bob"] };
    await expect(queue.decideApproval(id, bob)).rejects.toMatchObject({ code: "APPROVAL_DECIDED" });
  });

  test("is decided by the first of two that decide at once", async ({ queue }) => {
    const { runId, asked } = await ask(queue);
    const { id, digest } = asked;
    const answers = await Promise.allSettled(
      (["approved", "rejected"] as const).map((each, index) =>
        queue.decideApproval(id, {
          ...{ decision: each, digest, by: `token ${index}`, names: [`${index}`] },
        }),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const won = answers[0]?.status === "fulfilled" ? "succeeded" : "failed";
    expect(await jobOf(queue, runId)).toMatchObject({ state: won });
    expect(await queue.verify()).toEqual([]);
  });

  test("is decided by those that it names", async ({ queue }) => {
    const { asked } = await ask(queue, approval({ who: ["ada", "ben"] }));
    const { id, digest } = asked;
    const bob = { ...decision, digest, by: "token bob", names: ["bob"] };
    await expect(queue.decideApproval(id, bob)).rejects.toMatchObject({
      code: "APPROVAL_NOT_YOURS",
    });
    expect(await queue.decideApproval(id, { ...decision, digest })).toMatchObject({
      state: "approved",
    });
  });

  test("is not decided about something else than what was shown", async ({ queue }) => {
    const { asked } = await ask(queue);
    const changed = { ...decision, digest: "0".repeat(64) };
    await expect(queue.decideApproval(asked.id, changed)).rejects.toMatchObject({
      code: "APPROVAL_CHANGED",
    });
    const again = await ask(queue, approval({ title: "Ship now?" }));
    expect(again.asked.digest).not.toBe(asked.digest);
  });

  test("fails when its time is over, and is not decided from then on", async ({ queue, sql }) => {
    const { runId, asked } = await ask(queue, approval({ timeoutMs: 60_000 }));
    await pass(sql);
    const { id, digest } = asked;
    // Whether or not a hub has ended it yet.
    await expect(queue.decideApproval(id, { ...decision, digest })).rejects.toMatchObject({
      code: "APPROVAL_OVER",
    });
    expect(await endAll(queue)).toBe(1);
    await expect(queue.decideApproval(id, { ...decision, digest })).rejects.toMatchObject({
      code: "APPROVAL_OVER",
    });
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "failed",
      error: { code: "APPROVAL_TIMED_OUT" },
    });
    expect(await queue.getApproval(id)).toMatchObject({ state: "timed_out", decidedBy: null });
    expect(await queue.verify()).toEqual([]);
  });

  test("succeeds when its time is over, if it says so", async ({ queue, sql }) => {
    const wait = approval({ timeoutMs: 60_000, onTimeout: "approve", defaultInput: "all" });
    const { runId, asked } = await ask(queue, wait);
    await pass(sql);
    expect(await endAll(queue)).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "succeeded",
      result: { by: null, note: null, input: "all" },
    });
    expect(await queue.getApproval(asked.id)).toMatchObject({ state: "approved", input: "all" });
    expect(await queue.verify()).toEqual([]);
  });

  test("asks nothing any more when it is cancelled", async ({ queue }) => {
    const { runId, asked } = await ask(queue);
    await queue.cancelRun(runId);
    expect(await queue.getApproval(asked.id)).toMatchObject({ state: "cancelled" });
    const { id, digest } = asked;
    await expect(queue.decideApproval(id, { ...decision, digest })).rejects.toMatchObject({
      code: "APPROVAL_OVER",
    });
    expect(await queue.verify()).toEqual([]);
  });

  test("is asked again by a retry that repeats it, and taken over by one that does not", async ({
    queue,
  }) => {
    const { runId, asked } = await ask(queue);
    const { id, digest } = asked;
    await queue.decideApproval(id, { ...decision, decision: "rejected", digest });
    const again = await queue.retryRun(runId, { mode: "failed" });
    const second = only((await queue.listApprovals({ runId: again.runId })).approvals);
    expect(second).toMatchObject({ state: "pending", digest });
    await queue.decideApproval(second.id, { ...decision, digest });
    const session = await sayHello(queue, "forge");
    const next = only(await claim(queue, session));
    await queue.settle("forge", [{ ...next, outcome: "failed", error: null }]);
    const third = await queue.retryRun(again.runId, { mode: "failed" });
    expect((await queue.listApprovals({ runId: third.runId })).approvals).toEqual([]);
    expect(await jobOf(queue, third.runId)).toMatchObject({ state: "succeeded" });
    expect(await queue.verify()).toEqual([]);
  });

  test("goes with its run", async ({ queue, sql }) => {
    const { runId } = await ask(queue);
    await queue.cancelRun(runId);
    await sql`update public.loom_runs set finished_at = now() - interval '90 days'`;
    await queue.prune({ keepDays: 30 });
    expect(await sql`select from public.loom_approvals`).toHaveLength(0);
  });
});

test("what waits goes on while its workflow is paused, and the step after it does not start", async ({
  queue,
  sql,
}) => {
  const slept = await start(queue, sleep());
  const got = await start(queue, signal());
  const asked = await start(queue, approval());
  await endAll(queue);
  await queue.pauseWorkflow("made-for-test");
  await sql`update public.loom_suspended set due_at = now() where kind = 'sleep'`;
  await queue.sendSignal({ event: "paid", data: 7 });
  const { id, digest } = only((await queue.listApprovals({ runId: asked.runId })).approvals);
  await queue.decideApproval(id, { decision: "approved", digest, by: "token ada", names: [] });
  await endAll(queue);
  for (const { runId } of [slept, got, asked]) {
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "succeeded" },
      { state: "pending" },
    ]);
  }
  const session = await sayHello(queue, "forge");
  expect(await claim(queue, session)).toEqual([]);
  await queue.resumeWorkflow("made-for-test");
  expect(await claim(queue, session, { seq: 2 })).toHaveLength(3);
});

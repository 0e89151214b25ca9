import { fileURLToPath } from "node:url";
import { createHub, createScheduleLoop } from "@loom/hub";
import type { Database } from "@loom/local-db";
import type { Queue } from "@loom/queue";
import { makePlan, untilReadable } from "@loom/queue/testing";
import { CODE_CAPABILITY } from "@loom/scheduler";
import { createInlinePlanner } from "@loom/worker";
import { type AnyWorkflow, cron, defineWorkflow, type PlannedWait } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { claim, dispatchWaiting, sayHello, startProgram, TOKEN, test } from "./fixtures.ts";
import { type KillPoint, startKillProxy } from "./kill-proxy.ts";
import { twoSteps } from "./workflows/on-demand/two-steps.ts";
import { everySecond } from "./workflows/scheduled/every-second.ts";

const log = pino({ level: "silent" });
const headers = { authorization: `Bearer ${TOKEN}`, "idempotency-key": "once" };

/** Starts a hub that dies (SIGKILL) at a call; `died` resolves when it has. */
async function startDoomed(database: Database, folder: string, point: KillPoint) {
  const doomed = Promise.withResolvers<{ pid: number }>();
  const url = await startKillProxy(database.url, point, () => {
    void doomed.promise.then(({ pid }) => process.kill(pid, "SIGKILL"));
  });
  const hub = await startProgram(["start"], {
    SUPABASE_URL: url,
    SUPABASE_SECRET_KEY: database.serviceKey,
    LOOM_TOKEN: TOKEN,
    LOOM_NODE_NAME: "doomed",
    LOOM_WORKFLOWS_DIR: fileURLToPath(new URL(`workflows/${folder}`, import.meta.url)),
    PORT: "0",
  });
  doomed.resolve(hub.child);
  return { ...hub, died: hub.child.exited };
}

/** What the next hub does first: takes the lead, whose lease has run out. */
async function takeOver(queue: Queue, database: Database): Promise<number> {
  await database.sql`
    update public.loom_leaders set expires_at = now() where duty = 'loops' and holder is not null`;
  const { leading, epoch } = await queue.lead("successor", 45_000);
  expect(leading).toBe(true);
  return epoch;
}

const scheduleLoopOf = (queue: Queue, workflow: AnyWorkflow) =>
  createScheduleLoop({ queue, planner: createInlinePlanner([workflow]), log });

describe("a hub that is killed while it starts a run", () => {
  test.for<KillPoint>([
    { call: "loom_start_run", when: "before" },
    { call: "loom_start_run", when: "after" },
    { call: "loom_round", when: "after" },
    { call: "loom_place_jobs", when: "before" },
    { call: "loom_place_jobs", when: "after" },
  ])(
    "$when $call leaves nothing half, and nothing twice",
    { timeout: 30_000 },
    async (point, { queue, database }) => {
      // The hub that dies bundles the workflow, and the one of this test does not: their versions differ.
      const forge = await sayHello(queue, "forge", { capabilities: ["has-gpu", CODE_CAPABILITY] });
      // Rounds are made all the time: something has to wait before it is killed there.
      const isPlacing = point.call !== "loom_start_run";
      const app = createHub({
        queue,
        planner: createInlinePlanner([twoSteps]),
        log,
        token: TOKEN,
      });
      const path = "/api/loom/strands/two-steps/run";
      if (isPlacing) await app.request(path, { method: "POST", headers });
      const hub = await startDoomed(database, "on-demand", point);
      if (!isPlacing) {
        const { url } = await hub.said("listening");
        // Cut off or, when it gets to say so before it dies, answered that the database is away.
        const status = await fetch(`${url}${path}`, { method: "POST", headers }).then(
          (answer) => answer.status,
          () => "no answer",
        );
        expect(["no answer", 503]).toContain(status);
      }
      await hub.died;

      // The caller repeats what it got no answer to, and the next hub goes on.
      const answer = await app.request(path, { method: "POST", headers });
      expect(answer.status).toBe(202);
      const { runId } = (await answer.json()) as { runId: string };
      await takeOver(queue, database);
      await dispatchWaiting(queue, log).place();
      const [job] = await claim(queue, forge, 1);
      expect(job).toMatchObject({ step: "first", attempt: 1, fence: 1 });
      expect(await queue.getRun(runId)).toMatchObject({
        jobs: [
          { step: "first", state: "running" },
          { step: "second", state: "blocked" },
        ],
      });
      const { events } = await queue.readEvents();
      const count = (type: string) => events.filter((event) => event.type === type).length;
      expect(count("run.started")).toBe(1);
      expect(count("job.offered")).toBe(1);
      expect((await queue.listRequests()).requests).toHaveLength(1);
      expect(await queue.verify()).toEqual([]);
    },
  );
});

describe("a hub that is killed while it fires schedules", () => {
  test.for<KillPoint>([
    { call: "loom_round", when: "after" },
    { call: "loom_sync_schedules", when: "before" },
    { call: "loom_sync_schedules", when: "after" },
    { call: "loom_list_schedules", when: "after" },
    { call: "loom_decide_slots", when: "before" },
    { call: "loom_decide_slots", when: "after" },
  ])(
    "$when $call fires every slot once all the same",
    { timeout: 30_000 },
    async (point, { queue, database }) => {
      const first = await queue.lead("first", 45_000);
      const scheduleLoop = scheduleLoopOf(queue, everySecond);
      await scheduleLoop.round(first.epoch);
      await database.sql`update public.loom_schedules set decided_until = now() - interval '3 seconds'`;
      await queue.resign("first", first.epoch);
      const hub = await startDoomed(database, "scheduled", point);
      await hub.died;

      const epoch = await takeOver(queue, database);
      await scheduleLoop.round(epoch);
      const slots = await database.sql<{ second: number; runs: number; steps: number }[]>`
      select extract(epoch from slot_at)::int as second,
             (select count(*)::int from public.loom_runs where idempotency_key = slot.id) as runs,
             (select count(*)::int from public.loom_job_queue where run_id = slot.run_id) as steps
        from public.loom_schedule_slots as slot order by slot_at`;
      expect(slots.length).toBeGreaterThanOrEqual(3);
      const from = slots[0]?.second ?? 0;
      expect([...slots]).toEqual(
        slots.map((_, index) => ({ second: from + index, runs: 1, steps: 2 })),
      );
      const [row] = await database.sql`select count(*)::int as runs from public.loom_runs`;
      expect(row?.runs).toBe(slots.length);
      expect(await queue.verify()).toEqual([]);
    },
  );

  test.for<KillPoint>([
    { call: "loom_start_queued_slot", when: "before" },
    { call: "loom_start_queued_slot", when: "after" },
  ])(
    "$when $call starts the queued run once",
    { timeout: 30_000 },
    async (point, { queue, database }) => {
      const queueOne = defineWorkflow({
        name: everySecond.name,
        schedule: cron("* * * * * *", { overlap: "queue-one", missed: { all: 2 } }),
      }).step("first", { requires: ["what-nobody-has"] }, async () => {});
      const first = await queue.lead("first", 45_000);
      const scheduleLoop = scheduleLoopOf(queue, queueOne);
      await scheduleLoop.round(first.epoch);
      await database.sql`update public.loom_schedules set decided_until = now() - interval '3 seconds'`;
      await scheduleLoop.round(first.epoch);
      const [running] = (await queue.listRuns()).runs;
      await queue.cancelRun(running?.id ?? "");
      await queue.resign("first", first.epoch);
      // It knows the schedule by another policy, which changes nothing for the slot that waits.
      const hub = await startDoomed(database, "scheduled", point);
      await hub.died;

      const [before] = await database.sql<{ queued: string | null }[]>`
      select max(id) filter (where queued) as queued from public.loom_schedule_slots`;
      expect(before?.queued === null).toBe(point.when === "after");
      const epoch = await takeOver(queue, database);
      await scheduleLoopOf(queue, queueOne).round(epoch);
      const rows = await database.sql`
      select (select count(*)::int from public.loom_schedule_slots where run_id is not null) as slots,
             (select count(*)::int from public.loom_runs) as runs,
             (select count(distinct idempotency_key)::int from public.loom_runs) as keys`;
      expect([...rows]).toEqual([{ slots: 2, runs: 2, keys: 2 }]);
      expect(await queue.verify()).toEqual([]);
    },
  );
});

/** A run with a step that waits in each way, and one after it. */
async function startWaits(queue: Queue, { sql }: Database): Promise<string> {
  const waits: PlannedWait[] = [
    { kind: "sleep", forMs: 3_600_000, until: null },
    { kind: "signal", event: "paid", key: "7", timeoutMs: null, parses: false },
    { kind: "signal", event: "never", key: null, timeoutMs: 3_600_000, parses: false },
    {
      ...{ kind: "approval", title: "Go on?", who: [], timeoutMs: 3_600_000 },
      ...{ onTimeout: "approve", inputSchema: null, defaultInput: "all" },
    },
  ];
  const { runId } = await queue.startRun(
    makePlan(
      waits.flatMap((wait, index) => [
        { step: `wait-${index}`, wait },
        { step: `next-${index}`, after: [`wait-${index}`], host: "forge", runsAfter: "always" },
      ]),
    ),
  );
  await queue.endWaits();
  await sql`
    update public.loom_suspended set due_at = now(), ends_at = now() where event is distinct from 'paid'`;
  await sql`update public.loom_approvals set expires_at = now()`;
  await queue.sendSignal({ event: "paid", key: "7", data: 950 });
  return runId;
}

/** Every wait has ended once, with the step after it. */
async function expectEnded(queue: Queue, runId: string): Promise<void> {
  const { jobs } = await queue.getRun(runId);
  const byStep = new Map(jobs.map((job) => [job.step, job]));
  expect([0, 1, 2, 3].map((index) => byStep.get(`wait-${index}`))).toMatchObject([
    { state: "succeeded", result: null },
    { state: "succeeded", result: 950 },
    { state: "failed", error: { code: "SIGNAL_TIMED_OUT" } },
    { state: "succeeded", result: { by: null, input: "all" } },
  ]);
  const next = [0, 1, 2, 3].map((index) => byStep.get(`next-${index}`)?.state);
  expect(next).toEqual(["pending", "pending", "pending", "pending"]);
  const { events } = await queue.readEvents();
  const count = (type: string) => events.filter((event) => event.type === type).length;
  expect([count("job.woken"), count("job.ready")]).toEqual([4, 4]);
  expect(await queue.verify()).toEqual([]);
}

const endWaits = async (queue: Queue): Promise<void> => {
  while ((await queue.endWaits()).more);
};

describe("a hub that is killed while it ends waits", () => {
  test.for<KillPoint>([
    { call: "loom_round", when: "after" },
    { call: "loom_end_waits", when: "before" },
    { call: "loom_end_waits", when: "after" },
  ])(
    "$when $call ends each wait once, with the step after it",
    { timeout: 30_000 },
    async (point, { queue, database }) => {
      const runId = await startWaits(queue, database);
      const hub = await startDoomed(database, "on-demand", point);
      await hub.died;

      await takeOver(queue, database);
      await endWaits(queue);
      await untilReadable(database);
      await expectEnded(queue, runId);
    },
  );

  // A wait has ended and its run has not advanced: one transaction does both, and goes on when its caller is gone.
  test("in the middle of it leaves nothing half", { timeout: 30_000 }, async ({
    queue,
    database,
  }) => {
    const runId = await startWaits(queue, database);
    const held = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = database.sql.begin(async (sql) => {
      await sql`select from public.loom_runs where id = ${runId} for update`;
      locked.resolve();
      await held.promise;
    });
    await locked.promise;
    const { child } = await startProgram(["start"], {
      SUPABASE_URL: database.url,
      SUPABASE_SECRET_KEY: database.serviceKey,
      LOOM_TOKEN: TOKEN,
      LOOM_NODE_NAME: "doomed",
      LOOM_WORKFLOWS_DIR: fileURLToPath(new URL("workflows/on-demand", import.meta.url)),
      PORT: "0",
    });
    await expect
      .poll(
        () => database.sql`
          select from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock' and query like '%loom_end_waits%'`,
        { timeout: 20_000 },
      )
      .toHaveLength(1);
    process.kill(child.pid, "SIGKILL");
    await child.exited;
    expect((await queue.getRun(runId)).jobs[0]).toMatchObject({ state: "suspended" });
    held.resolve();
    await holding;

    await takeOver(queue, database);
    await endWaits(queue);
    await untilReadable(database);
    await expectEnded(queue, runId);
  });
});

import { fileURLToPath } from "node:url";
import { createDispatcher, createHub, createTimetable } from "@loom/hub";
import type { Database } from "@loom/local-db";
import type { Queue } from "@loom/queue";
import { type AnyWorkflow, cron, defineWorkflow } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { claim, sayHello, startProgram, TOKEN, test } from "./fixtures.ts";
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

const timetableOf = (queue: Queue, workflow: AnyWorkflow) =>
  createTimetable({ queue, workflows: new Map([[workflow.name, workflow]]), log });

describe("a hub that is killed while it starts a run", () => {
  test.for<KillPoint>([
    { call: "loom_start_run", when: "before" },
    { call: "loom_start_run", when: "after" },
    { call: "loom_list_waiting", when: "after" },
    { call: "loom_list_nodes", when: "after" },
    { call: "loom_place_jobs", when: "before" },
    { call: "loom_place_jobs", when: "after" },
  ])(
    "$when $call leaves nothing half, and nothing twice",
    { timeout: 30_000 },
    async (point, { queue, database }) => {
      const forge = await sayHello(queue, "forge", {
        capabilities: ["has-gpu", `workflow:two-steps@${twoSteps.version}`],
      });
      // The placing loop asks all the time: something has to wait before it is killed there.
      const isPlacing = point.call !== "loom_start_run";
      const app = createHub({
        queue,
        workflows: new Map([[twoSteps.name, twoSteps]]),
        log,
        token: TOKEN,
      });
      const path = "/api/loom/strands/two-steps/run";
      if (isPlacing) await app.request(path, { method: "POST", headers });
      const hub = await startDoomed(database, "on-demand", point);
      if (!isPlacing) {
        const { url } = await hub.said("listening");
        // Cut off or, when it gets to say so before it dies, told that the database is away.
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
      await createDispatcher({ queue, log }).place();
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
    { call: "loom_lead", when: "after" },
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
      const timetable = timetableOf(queue, everySecond);
      await timetable.round(first.epoch);
      await database.sql`update public.loom_schedules set decided_until = now() - interval '3 seconds'`;
      await queue.resign("first", first.epoch);
      const hub = await startDoomed(database, "scheduled", point);
      await hub.died;

      const epoch = await takeOver(queue, database);
      await timetable.round(epoch);
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
      const timetable = timetableOf(queue, queueOne);
      await timetable.round(first.epoch);
      await database.sql`update public.loom_schedules set decided_until = now() - interval '3 seconds'`;
      await timetable.round(first.epoch);
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
      await timetableOf(queue, queueOne).round(epoch);
      const rows = await database.sql`
      select (select count(*)::int from public.loom_schedule_slots where run_id is not null) as slots,
             (select count(*)::int from public.loom_runs) as runs,
             (select count(distinct idempotency_key)::int from public.loom_runs) as keys`;
      expect([...rows]).toEqual([{ slots: 2, runs: 2, keys: 2 }]);
      expect(await queue.verify()).toEqual([]);
    },
  );
});

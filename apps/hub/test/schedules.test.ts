import { createScheduleLoop } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import {
  type AnyWorkflow,
  type CronOptions,
  cron,
  defineWorkflow,
  type RunPlan,
} from "@loom/workflow";
import { describe, expect } from "vitest";
import { collectLog, runAll, sayHello, test } from "./fixtures.ts";

const HOUR_MS = 3_600_000;

/** One workflow that starts every hour. */
const hourly = (options: CronOptions = {}) =>
  defineWorkflow({ name: "hourly", schedule: cron("@hourly", options) })
    .step("first", {}, async () => {})
    .step("second", { after: ["first"] }, async () => {});

/** A hub that leads, with the schedule loop of one workflow. */
async function lead(queue: Queue, ...workflows: AnyWorkflow[]) {
  const { epoch } = await queue.lead("one", 45_000);
  const { lines, log } = collectLog();
  let started = 0;
  const scheduleLoop = createScheduleLoop({
    queue,
    planner: createInlinePlanner(workflows.length > 0 ? workflows : [hourly()]),
    log,
    onStarted: () => {
      started += 1;
    },
  });
  /** Rounds until nothing is left to do. */
  const settle = async () => {
    for (let count = 0; count < 20; count += 1) {
      if ((await scheduleLoop.round(epoch)) > 0) return;
    }
    throw new Error("there is always more to do");
  };
  return { epoch, scheduleLoop, settle, lines, started: () => started };
}

const slots = async (queue: Queue) =>
  (await queue.listSlots("hourly"))?.slots.map(({ decision, code, queued }) =>
    [decision, ...(code ? [code] : []), ...(queued ? ["queued"] : [])].join(" "),
  );
const runs = async (queue: Queue) => (await queue.listRuns()).runs;

const inPast = test.extend("wait", ({ database }) => async (hours: number) => {
  const [row] = await database.sql<{ until: Date }[]>`
    update public.loom_schedules
       set decided_until = date_trunc('hour', now()) - ${hours}::int * interval '1 hour' + interval '1 minute'
    returning decided_until as until`;
  return row?.until;
});

describe("a schedule loop", () => {
  inPast(
    "takes over the schedules of its workflows, and fires none in the past",
    async ({ queue }) => {
      const { settle } = await lead(queue);
      await settle();
      expect((await queue.listSchedules()).schedules).toMatchObject([
        { id: "hourly", workflow: "hourly", expression: "@hourly", lastSlot: null },
      ]);
      expect(await runs(queue)).toEqual([]);
    },
  );

  inPast(
    "returns when to decide again: when the next slot is due, or earlier",
    async ({ queue, database }) => {
      const often = defineWorkflow({ name: "often", schedule: cron("* * * * * *") }).step(
        "only",
        {},
        async () => {},
      );
      const { scheduleLoop, epoch, settle } = await lead(queue, often);
      await settle();
      const [row] = await database.sql<{ left: number }[]>`
      select (1000 - extract(milliseconds from clock_timestamp())::int % 1000)::int as left`;
      const inMs = await scheduleLoop.round(epoch);
      expect(inMs).toBeLessThanOrEqual(Math.max(row?.left ?? 0, 1_000));
    },
  );

  inPast(
    "starts one run for all that was missed while every hub was away",
    async ({ queue, wait }) => {
      await (await lead(queue)).settle();
      await wait(3);
      // A hub that has just started.
      const { settle, started } = await lead(queue);
      await settle();
      const decisions = await slots(queue);
      // On the hour the newest is in time.
      expect(["late,merged,merged", "fired,merged,merged"]).toContain(decisions?.join());
      expect(await runs(queue)).toMatchObject([
        { workflow: "hourly", trigger: "schedule", steps: { waiting: 1, blocked: 1 } },
      ]);
      expect(started()).toBe(1);
    },
  );

  inPast("starts none of them where they are to be skipped", async ({ queue, wait }) => {
    const { settle } = await lead(queue, hourly({ missed: "skip", grace: "1s" }));
    await settle();
    await wait(3);
    await settle();
    expect((await slots(queue))?.slice(-2)).toEqual(["missed too_late", "missed too_late"]);
  });

  inPast("has the next run wait for the end of the one before", async ({ queue, wait }) => {
    const workflow = hourly({ overlap: "queue-one", missed: { all: 3 } });
    const { settle } = await lead(queue, workflow);
    await settle();
    await wait(3);
    await settle();
    expect((await slots(queue))?.slice(1)).toEqual(["late queued", "late"]);
    expect(await runs(queue)).toHaveLength(1);
    await settle();
    expect(await runs(queue)).toHaveLength(1);

    await runAll(queue, await sayHello(queue, "forge"));
    await settle();
    expect(await runs(queue)).toMatchObject([{ status: "running" }, { status: "succeeded" }]);
    expect((await slots(queue))?.slice(1)).toEqual(["late", "late"]);
  });

  inPast(
    "lets slots of a paused schedule pass, and those after it is resumed not",
    async ({ queue, wait }) => {
      const { settle } = await lead(queue);
      await settle();
      await queue.pauseSchedule("hourly");
      await wait(2);
      await settle();
      expect(await slots(queue)).toEqual(["skipped paused", "skipped paused"]);
      await queue.resumeSchedule("hourly");
      await settle();
      expect(await runs(queue)).toEqual([]);
    },
  );

  inPast("counts a run that was started by hand as one that goes on", async ({ queue, wait }) => {
    const { settle } = await lead(queue);
    await settle();
    await queue.triggerSchedule("hourly", {
      workflow: "hourly",
      version: "1",
      input: {},
      jobs: makePlan([{ step: "first" }]).jobs,
    });
    await wait(1);
    await settle();
    expect(await slots(queue)).toEqual(["skipped overlap"]);
  });

  inPast(
    "says of a slot whose run cannot be planned why there is none",
    async ({ queue, wait }) => {
      const broken = defineWorkflow({ name: "hourly", schedule: cron("@hourly") }).step(
        "only",
        {
          host: () => {
            throw new Error("no such rack");
          },
        },
        async () => {},
      );
      const { settle, lines } = await lead(queue, broken);
      await settle();
      await wait(1);
      await settle();
      expect((await queue.listSlots("hourly"))?.slots).toMatchObject([
        {
          decision: "skipped",
          code: "plan_failed",
          reason: expect.stringContaining("no such rack"),
        },
      ]);
      expect(lines).toContainEqual(
        expect.objectContaining({ loop: "schedule", subject: "hourly" }),
      );
    },
  );

  inPast("decides a backlog in batches", async ({ queue, database }) => {
    const { settle } = await lead(queue, hourly({ missed: "skip" }));
    await settle();
    const hours = 2_500;
    await database.sql`
      update public.loom_schedules set decided_until = now() - ${hours * HOUR_MS}::bigint * interval '1 ms'`;
    await settle();
    const [row] = await database.sql`select count(*)::int as count from public.loom_schedule_slots`;
    expect(row?.count).toBe(hours);
  });

  // Interleavings: both read the same state and decide the same. The hub that locks the schedule first
  // writes; the other finds that it has changed, reads anew, and finds nothing due.
  inPast("of two that both believe to lead fires each slot once", async ({ queue, wait }) => {
    const workflow = hourly({ overlap: "allow", missed: { all: 20 } });
    const one = await lead(queue, workflow);
    const two = await lead(queue, workflow);
    await one.settle();
    await wait(20);
    await Promise.all([one.settle(), two.settle(), one.settle(), two.settle()]);
    expect(await slots(queue)).toHaveLength(20);
    expect(await runs(queue)).toHaveLength(20);
  });

  inPast("fires the others while the code of one does not answer", async ({ queue, wait }) => {
    const slow = defineWorkflow({ name: "a-slow", schedule: cron("@hourly") }).step(
      "only",
      {},
      async () => {},
    );
    const inline = createInlinePlanner([slow, hourly()]);
    const released = Promise.withResolvers<void>();
    const { epoch } = await queue.lead("one", 45_000);
    const scheduleLoop = createScheduleLoop({
      queue,
      planner: {
        ...inline,
        async plan(name, options) {
          if (name === "a-slow") await released.promise;
          return inline.plan(name, options);
        },
      },
      log: collectLog().log,
    });
    await scheduleLoop.round(epoch);
    await wait(1);
    const round = scheduleLoop.round(epoch);
    await expect.poll(() => slots(queue)).toHaveLength(1);
    expect((await queue.listSlots("a-slow"))?.slots).toEqual([]);
    released.resolve();
    await round;
    expect((await queue.listSlots("a-slow"))?.slots).toHaveLength(1);
  });

  inPast("of a hub that leads no more fires nothing", async ({ queue, database, wait }) => {
    const { scheduleLoop, epoch, settle } = await lead(queue);
    await settle();
    await wait(1);
    await database.sql`update public.loom_leaders set expires_at = now() where duty = 'loops'`;
    await queue.lead("other", 45_000);
    expect(await scheduleLoop.round(epoch)).toBeGreaterThan(0);
    expect(await slots(queue)).toEqual([]);
  });
});

describe("the API of schedules", () => {
  const seeded = test.extend("epoch", async ({ queue }) => {
    const { epoch } = await queue.lead("one", 45_000);
    const schedule = { ...cron("30 2 * * *", { timeZone: "Europe/Paris" }), workflow: "hello" };
    await queue.syncSchedules([{ ...schedule, id: "nightly" }], epoch);
    return epoch;
  });

  seeded("reports its definition and its next time", async ({ call, epoch }) => {
    expect(epoch).toBe(1);
    const { status, body } = await call("GET", "/schedules/nightly");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id: "nightly",
      workflow: "hello",
      expression: "30 2 * * *",
      timeZone: "Europe/Paris",
      overlap: "skip",
      missed: "once",
      paused: null,
      running: false,
      queued: null,
      lastSlot: null,
    });
    expect(new Date(String(body.nextAt)).getTime()).toBeGreaterThan(Date.now() - HOUR_MS);
    expect(await call("GET", "/schedules")).toMatchObject({ body: { data: [{ id: "nightly" }] } });
    expect(await call("GET", "/schedules/nigthly")).toMatchObject({
      status: 404,
      body: { code: "SCHEDULE_NOT_FOUND", suggestions: ["nightly"] },
    });
  });

  seeded("starts a run by hand once a key, and writes down who", async ({ call, epoch }) => {
    expect(epoch).toBe(1);
    const trigger = () =>
      call("POST", "/schedules/nightly/trigger", undefined, { "idempotency-key": "k" });
    const first = await trigger();
    expect(first).toMatchObject({ status: 202, body: { returned: "created" } });
    expect((await trigger()).body).toEqual(first.body);
    expect((await call("GET", `/runs/${first.body.runId}`)).body).toMatchObject({
      workflow: "hello",
      trigger: "manual",
    });
    expect((await call("GET", "/schedules/nightly")).body).toMatchObject({ running: true });
    expect((await call("GET", "/audit")).body).toMatchObject({
      data: [{ action: "triggerSchedule", subject: "/api/loom/schedules/nightly/trigger" }],
    });
  });

  seeded("pauses and resumes", async ({ call, epoch }) => {
    expect(epoch).toBe(1);
    await call("POST", "/schedules/nightly/pause", { note: "holiday" });
    expect((await call("GET", "/schedules/nightly")).body).toMatchObject({
      paused: { note: "holiday" },
    });
    expect((await call("POST", "/schedules/nightly/resume")).status).toBe(204);
    expect((await call("GET", "/schedules/nightly")).body).toMatchObject({ paused: null });
  });

  seeded("pages through slots", async ({ call, queue, database, epoch }) => {
    await database.sql`update public.loom_schedules set decided_until = '2020-01-01'`;
    const at = (day: number) => new Date(Date.UTC(2020, 0, day));
    const reason = "the schedule was paused";
    const decided = [2, 3, 4].map((day) => ({
      id: `nightly@${day}`,
      at: at(day),
      decision: "skipped" as const,
      code: "paused",
      reason,
    }));
    const [schedule] = (await queue.listSchedules()).schedules;
    await queue.decideSlots(
      {
        schedule: "nightly",
        revision: schedule?.revision ?? 0,
        slots: decided,
        decidedUntil: at(5),
        plan: null,
      },
      epoch,
    );
    const first = await call("GET", "/schedules/nightly/slots?limit=2");
    expect(first.body).toMatchObject({
      data: [{ id: "nightly@4", at: at(4).toISOString(), reason }, { id: "nightly@3" }],
    });
    const second = await call("GET", `/schedules/nightly/slots?limit=2&cursor=${first.body.next}`);
    expect(second.body).toMatchObject({ data: [{ id: "nightly@2" }], next: null });
    const other = await call("GET", `/schedules/other/slots?cursor=${first.body.next}`);
    expect(other).toMatchObject({ status: 422, body: { code: "INVALID_CURSOR" } });
  });
});

describe("a bad schedule", () => {
  // Definition and plan refuse it too; this one is what only the database would find out.
  const unstorable = (queue: Queue): Queue => ({
    ...queue,
    decideSlots: (decision, epoch) =>
      queue.decideSlots(
        { ...decision, plan: decision.plan && withManyClauses(decision.plan) },
        epoch,
      ),
    startQueuedSlot: (id, plan, epoch) =>
      queue.startQueuedSlot(id, "failure" in plan ? plan : withManyClauses(plan), epoch),
  });
  const withManyClauses = (plan: RunPlan): RunPlan => ({
    ...plan,
    jobs: plan.jobs.map((job) =>
      plan.workflow === "bad" || plan.jobs.length === 1
        ? { ...job, requires: Array.from({ length: 65 }, (_, index) => `tag-${index}`) }
        : job,
    ),
  });
  const bad = (name: string, options: object) =>
    defineWorkflow({ name, schedule: cron("@hourly", { overlap: "queue-one" }) }).step(
      "only",
      options,
      async () => {},
    );
  const badOnes = [
    { title: "requires 65 clauses", options: {} },
    {
      title: "names a key with a NUL",
      options: { concurrency: () => ({ key: "a\0b", limit: 1 }) },
    },
    {
      title: "has a function that throws",
      options: {
        host: () => {
          throw new Error("no\0host");
        },
      },
    },
  ];

  inPast.for(badOnes)(
    "that $title is skipped, and others fire",
    async ({ options }, { queue, wait }) => {
      const { settle } = await lead(unstorable(queue), bad("bad", options), hourly());
      await settle();
      await wait(1);
      await settle();
      const of = async (id: string) => (await queue.listSlots(id))?.slots.at(-1);
      expect(await of("bad")).toMatchObject({ decision: "skipped", code: "plan_failed" });
      expect(await of("hourly")).toMatchObject({ decision: expect.stringMatching(/fired|late/) });
      expect(await runs(queue)).toMatchObject([{ workflow: "hourly" }]);
    },
  );

  inPast(
    "whose run cannot be stored does not wait in the queue for ever",
    async ({ queue, database, wait }) => {
      const { settle } = await lead(unstorable(queue), bad("hourly", {}));
      await settle();
      await wait(1);
      const [row] = await database.sql<{ at: Date }[]>`select date_trunc('hour', now()) as at`;
      await database.sql`
      insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, queued)
      values ('hourly@queued', 'hourly', ${row?.at ?? null}::timestamptz - interval '1 day', 'fired', true)`;
      await settle();
      expect((await queue.listSlots("hourly"))?.slots.at(-1)).toMatchObject({
        id: "hourly@queued",
        decision: "skipped",
        code: "plan_failed",
        queued: false,
      });
    },
  );
});

describe("a clock that was set back", () => {
  inPast(
    "does not silence a schedule: it goes on from now, and that is said",
    async ({ queue, wait, database }) => {
      const { settle, lines } = await lead(queue);
      await settle();
      await wait(1);
      await settle();
      const before = await runs(queue);
      await database.sql`
      update public.loom_schedules set decided_until = now() + interval '3 weeks'`;
      await database.sql`
      insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, merged_into)
      values ('hourly@ahead', 'hourly', now() + interval '1 week', 'merged', 'hourly@later')`;
      await settle();
      const [schedule] = (await queue.listSchedules()).schedules;
      const { now } = await queue.listSchedules();
      expect(schedule?.decidedUntil.getTime()).toBeLessThanOrEqual(now.getTime());
      expect(await slots(queue)).not.toContain("merged");
      expect(await runs(queue)).toEqual(before);
      expect(lines).toContainEqual(
        expect.objectContaining({ subject: "hourly", loop: "schedule", level: 50 }),
      );
      const { events } = await queue.readEvents();
      expect(events.filter(({ type }) => type === "schedule.rewound")).toHaveLength(1);
    },
  );
});

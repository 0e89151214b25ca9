import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import { isLed, type LedRound } from "../../../round.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { untilWaiting } from "../../until-waiting.ts";

const LEASE_MS = 6_000;
/** The longest lease of a node, so that its end is not what is due. */
const LONG_MS = 3_600_000;

/** A round of the hub `a`, which leads. */
async function lead(
  queue: Queue,
  options: { seen?: string; wake?: boolean } = {},
): Promise<LedRound> {
  const answer = await queue.round({ holder: "a", leaseMs: LEASE_MS, ...options });
  if (!isLed(answer)) throw new Error(`${answer.lead.holder} leads`);
  return answer;
}

/** Lets a while pass since the last reaping. */
const passReaping = ({ sql }: Database, ms = 2_000) =>
  sql`update public.loom_leaders set ticked_at = now() - ${ms}::int * interval '1 millisecond' where duty = 'reaper'`;

/** Runs `work` while a function of Loom fails. */
async function without({ sql }: Database, name: string, work: () => Promise<void>) {
  const [found] = await sql<{ text: string }[]>`
    select pg_get_functiondef(to_regproc(${`public.${name}`})) as text`;
  const text = found?.text ?? "";
  const broken = text
    .replace(/LANGUAGE sql/, "LANGUAGE plpgsql")
    .replace(/AS \$function\$.*\$function\$/s, "AS 'begin raise ''broken on purpose''; end'");
  await sql.unsafe(broken);
  try {
    await work();
  } finally {
    await sql.unsafe(text);
  }
}

export function roundContract(test: QueueTest): void {
  describe("round", () => {
    test("takes the lead, and tells a hub that does not lead only who does", async ({
      queue,
      database,
    }) => {
      await queue.enqueue([makeJob()]);
      await passReaping(database);
      const first = await lead(queue);
      expect(first.lead).toMatchObject({ leading: true, holder: "a", epoch: 1 });
      expect(first.reaped).toMatchObject({ reaped: true });
      expect(first.placing?.waiting).toHaveLength(1);
      await passReaping(database);
      const other = await queue.round({ holder: "b", leaseMs: LEASE_MS });
      expect(other).toEqual({ lead: expect.objectContaining({ leading: false, holder: "a" }) });
      expect((await lead(queue)).reaped).toMatchObject({ reaped: true });
    });

    test("of a deposed leader does nothing", async ({ queue, database }) => {
      await lead(queue);
      await sayHello(queue, "forge");
      await database.sql`update public.loom_leaders set expires_at = now() where duty = 'loops'`;
      expect(await queue.round({ holder: "b", leaseMs: LEASE_MS })).toMatchObject({
        lead: { leading: true, epoch: 2 },
      });
      await passReaping(database);
      await database.sql`update public.loom_node_sessions set expires_at = now()`;
      expect(isLed(await queue.round({ holder: "a", leaseMs: LEASE_MS }))).toBe(false);
      expect(await queue.listNodes()).toMatchObject([{ online: false }]);
      expect((await queue.readEvents()).events.map(({ type }) => type)).not.toContain("node.dead");
    });

    test("lets a hub that starts again follow itself at once", async ({ queue }) => {
      const ask = (holder: string) => queue.round({ holder, leaseMs: LEASE_MS });
      expect(await ask("oracle/1")).toMatchObject({ lead: { leading: true, epoch: 1 } });
      expect(await ask("oracle-2/1")).toMatchObject({ lead: { leading: false } });
      expect(await ask("oracle/2")).toMatchObject({ lead: { leading: true, epoch: 2 } });
    });

    test("says whether other hubs would take the lead over", async ({ queue, database }) => {
      const ask = () => queue.round({ holder: "oracle/1", leaseMs: LEASE_MS });
      await sayHello(queue, "oracle", { isHub: true });
      await sayHello(queue, "forge");
      expect(await ask()).toMatchObject({ hasFollowers: false });
      await sayHello(queue, "pi", { isHub: true });
      expect(await ask()).toMatchObject({ hasFollowers: true });
      await database.sql`update public.loom_node_sessions set expires_at = now() where node = 'pi'`;
      expect(await ask()).toMatchObject({ hasFollowers: false });
    });

    test("reaps at most once a second, and expires otherwise", async ({ queue, database }) => {
      const { id } = only(await queue.enqueue([makeJob({ startWithinMs: 1 })]));
      const session = await sayHello(queue, "forge", { leaseMs: 3_000 });
      await passReaping(database, 1_100);
      expect(await lead(queue)).toMatchObject({ reaped: { reaped: true }, expired: 0 });
      await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 ms'`;
      const second = await lead(queue);
      expect(second).toMatchObject({ reaped: null, expired: 1 });
      expect(second.dueInMs).toBeLessThanOrEqual(0);
      expect(await queue.getJob(id)).toMatchObject({ state: "failed" });
      await passReaping(database, 1_100);
      expect(await lead(queue)).toMatchObject({ reaped: { dead: [session.node] }, expired: 0 });
    });

    test("lists as many jobs of a kind as there are free slots, and more to open", async ({
      queue,
    }) => {
      await queue.enqueue(Array.from({ length: 130 }, (_, index) => makeJob({ step: `${index}` })));
      await queue.enqueue([makeJob({ requires: ["has-gpu"] })]);
      const count = async () => (await lead(queue)).placing?.waiting?.length;
      expect(await count()).toBe(5 + 1);
      await sayHello(queue, "forge", { slots: 3 });
      expect(await count()).toBe(14 + 1);
      await sayHello(queue, "anvil", { slots: 500 });
      expect(await count()).toBe(100 + 1);
      await queue.setNodeStatus("anvil", { status: "paused" });
      expect(await count()).toBe(14 + 1);
    });

    test("sends nothing again that led to no offer, until something has changed", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "pi");
      const job = only(await queue.enqueue([makeJob({ requires: ["has-gpu"] })]));
      const reason = { code: "no_capable_node", summary: "nobody has a GPU" };
      let { seen } = (await lead(queue)).placing ?? {};
      const isSent = async () => {
        const { placing } = await lead(queue, { ...(seen && { seen }) });
        seen = placing?.seen;
        expect(placing?.waiting === undefined).toBe(placing?.nodes === undefined);
        return placing?.waiting !== undefined;
      };
      await queue.place({ offers: [], refusals: [{ job: job.id, reason }] });
      await queue.heartbeat(session);
      expect(await isSent()).toBe(false);

      const report = { slots: 10, capabilities: ["has-gpu"] };
      await queue.reportNode(session, report);
      expect(await isSent()).toBe(true);
      await queue.reportNode(session, { ...report, slots: 11 });
      expect(await isSent()).toBe(true);
      await queue.setNodeStatus("pi", { status: "draining" });
      expect(await isSent()).toBe(true);
      expect(await isSent()).toBe(false);
      await sayHello(queue, "anvil");
      expect(await isSent()).toBe(true);
      await database.sql`
        update public.loom_node_sessions
           set expires_at = now(), heartbeat_at = now() - interval '90 minutes' where node = 'anvil'`;
      expect(await isSent()).toBe(true);
      await queue.enqueue([makeJob({ requires: ["has-gpu"], step: "another" })]);
      expect(await isSent()).toBe(true);
      expect(await isSent()).toBe(false);
    });

    test("places nothing and wakes nobody while nothing waits", async ({ queue }) => {
      expect(await lead(queue)).toMatchObject({
        placing: null,
        wake: [],
        failed: [],
        isBusy: false,
        dueInMs: null,
      });
    });

    test("lists the nodes to wake, if it is asked to", async ({ queue }) => {
      const session = await sayHello(queue, "forge");
      const where = { tailnetAddress: "100.64.0.7", wakePort: 7_421 };
      await queue.reportNode(session, { capabilities: [], slots: 1, ...where });
      await queue.enqueue([makeJob({ host: "forge" })]);
      expect((await lead(queue)).wake).toMatchObject([{ name: "forge", ...where }]);
      expect((await lead(queue, { wake: false })).wake).toEqual([]);
    });

    test("tells when schedules have changed", async ({ queue, database }) => {
      const before = (await lead(queue)).schedules;
      const schedule = {
        id: "s",
        workflow: "s",
        expression: "@daily",
        timeZone: "UTC",
        input: {},
        overlap: "skip" as const,
        missed: "once" as const,
        graceMs: 1_000,
      };
      const { epoch } = await queue.lead("a", LEASE_MS);
      await queue.syncSchedules([schedule], epoch);
      const added = (await lead(queue)).schedules;
      expect(added.revision).not.toBe(before.revision);
      expect((await lead(queue)).schedules).toEqual({ ...added, canStart: false });
      await queue.pauseSchedule("s", "for a while");
      expect((await lead(queue)).schedules.revision).not.toBe(added.revision);
      await database.sql`delete from public.loom_schedules`;
    });
  });

  describe("a part of a round that fails", () => {
    const parts = [
      { part: "reap", name: "loom_reap" },
      { part: "expire", name: "loom_expire_jobs" },
      { part: "place", name: "loom_read_waiting" },
      { part: "wake", name: "loom_list_wake_addresses" },
      { part: "due", name: "loom_next_due" },
    ];
    test.for(parts)(
      "is named, and the others follow: $part",
      async ({ part, name }, { queue, database }) => {
        await queue.enqueue([makeJob({ startWithinMs: 1 }), makeJob()]);
        if (part === "reap") await passReaping(database);
        await without(database, name, async () => {
          const answer = await lead(queue);
          expect(answer).toMatchObject({
            lead: { leading: true },
            failed: [{ part, problem: "broken on purpose" }],
            expired: part === "expire" ? 0 : 1,
          });
          expect(answer.placing === null).toBe(part === "place");
        });
        expect(await lead(queue)).toMatchObject({ failed: [] });
      },
    );
  });

  describe("the next round is due", () => {
    const delayed = { delayMs: 5_000 };
    const cases: { title: string; dueMs: number; cause: (queue: Queue) => Promise<unknown> }[] = [
      {
        title: "when an offer ends",
        dueMs: 5_000,
        async cause(queue) {
          await queue.enqueue([makeJob()]);
          await offerAll(queue, "forge", 5_000);
        },
      },
      {
        title: "when a running job is past its deadline",
        dueMs: 61_000,
        cause: (queue) => runningJob(queue, { timeoutMs: 1_000 }),
      },
      {
        title: "when a job is no longer worth starting",
        dueMs: 5_000,
        cause: (queue) => queue.enqueue([makeJob({ startWithinMs: 5_000 })]),
      },
      {
        title: "when a waiting job is due",
        dueMs: 5_000,
        cause: (queue) => queue.enqueue([makeJob(), makeJob({ ...delayed, priority: 7 })]),
      },
      {
        title: "when a pinned job is due",
        dueMs: 5_000,
        cause: (queue) =>
          queue.enqueue([makeJob({ host: "forge" }), makeJob({ ...delayed, host: "forge" })]),
      },
      {
        title: "when a job is tried again",
        dueMs: 5_000,
        async cause(queue) {
          const backoff = { kind: "fixed" as const, delayMs: 5_000, maxDelayMs: 5_000 };
          const { job } = await runningJob(queue, { retry: { attempts: 2, backoff } });
          const error = { name: "Error", message: "no" };
          const outcome = { outcome: "failed" as const, error, retryable: true };
          await queue.settle("forge", [{ id: job.id, fence: job.fence, ...outcome }]);
        },
      },
      {
        title: "soon after a pause ends",
        dueMs: 5_500,
        cause: (queue) => queue.setNodeStatus("forge", { status: "paused", forMs: 5_000 }),
      },
    ];
    test.for(cases)("$title", async ({ dueMs, cause }, { queue, database }) => {
      await sayHello(queue, "forge", { leaseMs: LONG_MS });
      await cause(queue);
      // Some of them open a session with a shorter lease.
      await database.sql`update public.loom_node_sessions
        set lease_ms = ${LONG_MS}, expires_at = now() + interval '1 hour'`;
      const { dueInMs } = await lead(queue);
      expect(dueInMs).toBeLessThanOrEqual(dueMs);
      expect(dueInMs).toBeGreaterThan(dueMs - 4_000);
    });

    test("when a lease ends, and often enough to watch the shortest one", async ({
      queue,
      database,
    }) => {
      await sayHello(queue, "forge", { leaseMs: LONG_MS });
      const expire = (ms: number) => database.sql`
        update public.loom_node_sessions set expires_at = now() + ${ms}::int * interval '1 ms'`;
      await expire(4_000);
      expect((await lead(queue)).dueInMs).toBeLessThanOrEqual(4_000);
      await expire(LONG_MS);
      await sayHello(queue, "pi", { leaseMs: 9_000 });
      const { dueInMs } = await lead(queue);
      // With a round after a third of the lease, the reaper never counts as away.
      expect(dueInMs).toBeLessThanOrEqual(3_000);
      expect(dueInMs).toBeGreaterThan(2_000);
    });

    test("not for a node that is dead, or a job that is due and listed", async ({
      queue,
      database,
    }) => {
      await sayHello(queue, "forge");
      await queue.enqueue([makeJob({ requires: ["has-gpu"] })]);
      await passReaping(database);
      await database.sql`update public.loom_node_sessions set expires_at = now()`;
      expect(await lead(queue)).toMatchObject({ reaped: { dead: ["forge"] }, dueInMs: null });
    });
  });

  describe("a round beside other calls", () => {
    // Interleaving: the cancel has the run's lock, and the round holds nothing that it waits for.
    test("waits for a cancel of the jobs that are late, and fails what is left", async ({
      queue,
      database,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "one", startWithinMs: 1 }, { step: "other" }]),
      );
      const round = await database.sql.begin(async (sql) => {
        await sql`select public.loom_cancel_run(${runId})`;
        const waiting = lead(queue);
        await untilWaiting(database);
        return { waiting };
      });
      expect(await round.waiting).toMatchObject({ expired: 0, failed: [] });
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });

    // Interleaving: a heartbeat holds its session. The reaper passes it over, or finds a fresh lease.
    test("takes no node for dead that is being heard", async ({ queue, database }) => {
      const session = await sayHello(queue, "forge", { leaseMs: 3_000 });
      for (let count = 0; count < 10; count += 1) {
        await passReaping(database, 1_100);
        await database.sql`update public.loom_node_sessions set expires_at = now() + interval '2 ms'`;
        const [answer, beat] = await Promise.all([lead(queue), queue.heartbeat(session)]);
        if (beat.session === "live") expect(answer.reaped?.dead ?? []).toEqual([]);
        else return expect(answer.reaped?.dead).toEqual(["forge"]);
      }
    });

    // Every round reaps and expires jobs of runs that others cancel, claim and settle at the same
    // moment. A deadlock would reject one of the calls.
    test("deadlocks with none of them", { timeout: 30_000 }, async ({ queue, database }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let count = 0; count < 12; count += 1) {
        const runs = await Promise.all(
          Array.from({ length: 4 }, () =>
            queue.startRun(
              makePlan([
                { step: "a" },
                { step: "b", startWithinMs: 1 },
                { step: "c", host: "forge", startWithinMs: 1 },
                { step: "d", after: ["a"] },
              ]),
            ),
          ),
        );
        await offerAll(queue, "forge", 1);
        await passReaping(database, count % 2 === 0 ? 2_000 : 0);
        const answers = await Promise.all([
          lead(queue),
          ...runs.slice(0, 2).map(({ runId }) => queue.cancelRun(runId)),
          claim(queue, session, { seq: count + 1 }),
          lead(queue),
          queue.reap(),
          queue.expire(),
          lead(queue),
        ]);
        for (const answer of answers) {
          if (typeof answer === "object" && "failed" in answer) expect(answer.failed).toEqual([]);
        }
      }
      expect(await queue.verify()).toEqual([]);
    });
  });
}

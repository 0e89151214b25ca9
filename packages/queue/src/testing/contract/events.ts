import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import type { QueueEvent } from "../../event.ts";
import type { Queue } from "../../queue.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import { makePlan } from "../plan.ts";
import type { QueueTest } from "../queue-test.ts";
import { expireLeases, expireOffers } from "../rows.ts";
import { failure, success } from "../settlements.ts";

interface World {
  queue: Queue;
  database: Database;
}

/** Resolves when no open transaction, of this database or another of the server, holds events back. */
async function untilReadable({ sql }: Database): Promise<void> {
  const isHeldBack = async () =>
    (await sql`select from public.loom_events where xid >= pg_snapshot_xmin(pg_current_snapshot())`)
      .length > 0;
  while (await isHeldBack());
}

/** The whole history, in the order in which it was written. */
async function historyOf({ queue, database }: World): Promise<QueueEvent[]> {
  await untilReadable(database);
  const { events } = await queue.readEvents({ limit: 10_000 });
  return events.sort((one, other) => one.seq - other.seq);
}

/** What `act` adds to the history: of each event its type and the state after it. */
async function addedBy(world: World, act: () => Promise<unknown>): Promise<string[]> {
  const before = (await historyOf(world)).length;
  await act();
  return (await historyOf(world))
    .slice(before)
    .map(({ type, state }) => (state === null ? type : `${type} ${state}`));
}

const twice = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

/** A transition: `begin` prepares it, and what that returns makes it; again changes nothing. */
const transitions: {
  title: string;
  begin: (world: World) => Promise<() => Promise<unknown>>;
  events: string[];
}[] = [
  {
    title: "a run that is started",
    begin: async ({ queue }) => {
      const plan = makePlan([
        { step: "a" },
        { step: "b", host: "forge" },
        { step: "c", after: ["a"] },
      ]);
      return () => queue.startRun(plan, { key: "once" });
    },
    events: [
      "run.started running",
      "job.created waiting",
      "job.created pending",
      "job.created blocked",
    ],
  },
  {
    title: "a job that is added",
    begin:
      async ({ queue }) =>
      () =>
        queue.enqueue([makeJob({ key: "once" })]),
    events: ["job.created waiting"],
  },
  {
    title: "an offer",
    begin: async ({ queue }) => {
      const { id: job } = only(await queue.enqueue([makeJob()]));
      const offers = [{ job, node: "forge", placement: null }];
      return () => queue.place({ offers, refusals: [] });
    },
    events: ["job.offered pending"],
  },
  {
    title: "an offer that nobody took",
    begin: async ({ queue, database }) => {
      await queue.enqueue([makeJob()]);
      await offerAll(queue, "forge");
      await expireOffers(database);
      return () => queue.reap();
    },
    events: ["job.offer_expired waiting"],
  },
  {
    title: "an offer that is declined",
    begin: async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      await offerAll(queue, "forge");
      return () => queue.decline("forge", [id], "no");
    },
    events: ["job.declined waiting"],
  },
  {
    title: "a claim",
    begin: async ({ queue }) => {
      await queue.enqueue([makeJob({ host: "forge" })]);
      const session = await sayHello(queue, "forge");
      return () => claim(queue, session);
    },
    events: ["job.claimed running"],
  },
  {
    title: "the last step's success",
    begin: async ({ queue }) => {
      const { job } = await runningJob(queue);
      return () => queue.settle("forge", [success(job)]);
    },
    events: ["job.settled succeeded", "run.finished succeeded"],
  },
  {
    title: "a success that others wait for",
    begin: async ({ queue }) => {
      await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b" },
          { step: "c", after: ["a"] },
          { step: "d", after: ["a", "b"] },
        ]),
      );
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      return () => queue.settle("forge", [success(job)]);
    },
    events: ["job.settled succeeded", "job.ready waiting"],
  },
  {
    title: "a failure that others waited for",
    begin: async ({ queue }) => {
      await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"] },
          { step: "c", after: ["b"] },
        ]),
      );
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      return () => queue.settle("forge", [failure(job)]);
    },
    events: [
      "job.settled failed",
      "job.skipped skipped",
      "job.skipped skipped",
      "run.finished failed",
    ],
  },
  {
    title: "a failure with an attempt left",
    begin: async ({ queue }) => {
      const { job } = await runningJob(queue, { retry: twice });
      return () => queue.settle("forge", [failure(job)]);
    },
    events: ["job.settled waiting"],
  },
  {
    title: "a node that is lost",
    begin: async ({ queue, database }) => {
      await runningJob(queue);
      await expireLeases(database);
      return () => queue.reap();
    },
    events: ["node.dead", "job.requeued waiting"],
  },
  {
    title: "a late result that is salvaged",
    begin: async ({ queue, database }) => {
      const { job } = await runningJob(queue);
      await expireLeases(database);
      await queue.reap();
      return () => queue.settle("forge", [success(job)]);
    },
    events: ["job.settled succeeded", "run.finished succeeded"],
  },
  {
    title: "a cancel that the node is asked for",
    begin: async ({ queue }) => {
      const { job } = await runningJob(queue);
      return () => queue.cancel([job.id]);
    },
    events: ["job.cancel_requested running"],
  },
  {
    title: "a run that is cancelled",
    begin: async ({ queue }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", after: ["a"] }]),
      );
      return () => queue.cancelRun(runId);
    },
    events: ["job.cancelled cancelled", "job.cancelled cancelled", "run.finished cancelled"],
  },
  {
    title: "a job that was not started in time",
    begin: async ({ queue, database }) => {
      await queue.enqueue([makeJob({ startWithinMs: 1 })]);
      await database.sql`update public.loom_job_queue set start_by = now()`;
      return () => queue.expire();
    },
    events: ["job.expired failed"],
  },
  {
    title: "a workflow that is resumed",
    begin: async ({ queue }) => {
      await queue.pauseWorkflow("nightly");
      return () => queue.resumeWorkflow("nightly");
    },
    events: ["workflow.resumed"],
  },
  {
    title: "a run that is retried",
    begin: async ({ queue }) => {
      const { job, runId } = await runningJob(queue);
      await queue.settle("forge", [failure(job)]);
      return () => queue.retryRun(runId, { mode: "failed", key: "once" });
    },
    events: ["run.started running", "job.created waiting"],
  },
  {
    title: "a job that is redriven",
    begin: async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob()]));
      await queue.cancel([id]);
      return () => queue.redrive([id]);
    },
    events: ["job.created waiting"],
  },
];

export function eventsContract(test: QueueTest): void {
  describe("the history", () => {
    test.for(transitions)(
      "tells of $title once",
      async ({ begin, events }, { queue, database }) => {
        const world = { queue, database };
        const act = await begin(world);
        expect(await addedBy(world, act)).toEqual(events);
        expect(await addedBy(world, act)).toEqual([]);
      },
    );

    test("tells of hellos and pauses, with what they were about", async ({ queue, database }) => {
      const { runId, job } = await runningJob(queue);
      await sayHello(queue, "forge");
      await queue.pauseWorkflow("nightly");
      expect((await historyOf({ queue, database })).slice(-4)).toMatchObject([
        { type: "job.claimed", runId, jobId: job.id, node: "forge", epoch: 1, fence: 1 },
        { type: "node.hello", node: "forge", epoch: 2, jobId: null },
        { type: "job.requeued", runId, jobId: job.id, node: "forge", fence: 1, state: "waiting" },
        { type: "workflow.paused", detail: "nightly", at: expect.any(Date) },
      ]);
    });
  });

  describe("readEvents", () => {
    test("reads on from a cursor, and keeps it where there is nothing new", async ({
      queue,
      database,
    }) => {
      expect(await queue.readEvents()).toEqual({ events: [], cursor: null });
      for (const name of ["a", "b", "c"]) await queue.pauseWorkflow(name);
      await untilReadable(database);
      const first = await queue.readEvents({ limit: 2 });
      expect(first.events.map(({ detail }) => detail)).toEqual(["a", "b"]);
      expect(first.cursor).toBe(first.events[1]?.cursor);
      const second = await queue.readEvents({ after: first.cursor });
      expect(second.events.map(({ detail }) => detail)).toEqual(["c"]);
      expect(await queue.readEvents({ after: second.cursor })).toEqual({
        events: [],
        cursor: second.cursor,
      });
    });

    test("begins behind all that has happened with 'now'", async ({ queue, database }) => {
      await queue.pauseWorkflow("before");
      await untilReadable(database);
      const { events, cursor } = await queue.readEvents({ after: "now" });
      expect(events).toEqual([]);
      await queue.pauseWorkflow("after");
      await untilReadable(database);
      expect((await queue.readEvents({ after: cursor })).events).toMatchObject([
        { detail: "after" },
      ]);
    });

    test.for(["", "soon", "1", "1.", ".1", "-1.0", "1.0.0", "1.0 or true", `1.${"9".repeat(30)}`])(
      "refuses '%s' as a cursor",
      async (after, { queue }) => {
        await expect(queue.readEvents({ after })).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
      },
    );

    // Interleaving: the late one has its numbers, and commits only when larger ones have been
    // readable for a while. They are held back until it is decided.
    test("misses nothing that commits late", async ({ queue, database }) => {
      const seen: (string | null)[] = [];
      let cursor: string | null = null;
      const readOn = async () => {
        const page = await queue.readEvents({ after: cursor });
        seen.push(...page.events.map(({ detail }) => detail));
        cursor = page.cursor;
      };
      await queue.pauseWorkflow("before");
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_pause_workflow('late', true)`;
        await queue.pauseWorkflow("early");
        await queue.pauseWorkflow("earlier than late");
        await readOn();
        expect(seen).not.toContain("early");
      });
      await untilReadable(database);
      await readOn();
      expect(seen).toEqual(["before", "late", "early", "earlier than late"]);
    });

    // Interleavings: eight writers, of which every second holds its transaction open until the
    // next one has committed, and a reader that never waits for them.
    test("reads what many write at once, each event once", async ({ queue, database }) => {
      const seen: string[] = [];
      let isOver = false;
      const write = async (writer: number) => {
        for (let n = 0; n < 10; n += 1) {
          await database.sql.begin(async (sql) => {
            await sql`select public.loom_pause_workflow(${`${writer}.${n} held`}, true)`;
            if (writer % 2 === 0) await queue.pauseWorkflow(`${writer}.${n} meanwhile`);
          });
        }
      };
      const read = async () => {
        for (let cursor: string | null = null; ; ) {
          const isLast = isOver;
          if (isLast) await untilReadable(database);
          const page = await queue.readEvents({ after: cursor, limit: 1_000 });
          seen.push(...page.events.map(({ cursor: position }) => position));
          cursor = page.cursor;
          if (isLast) return;
        }
      };
      const reading = read();
      await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
      isOver = true;
      await reading;
      expect(seen).toHaveLength(120);
      expect(new Set(seen).size).toBe(120);
    });
  });
}

import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import type { QueueEvent } from "../../../history/events.ts";
import type { Queue } from "../../../queue.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, expireOffers, setStartBy } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";
import { untilReadable } from "../../until-readable.ts";

interface World {
  queue: Queue;
  database: Database;
}

/** The whole history, in the order in which it was written. */
async function historyOf({ queue, database }: World): Promise<QueueEvent[]> {
  await untilReadable(database);
  const { events } = await queue.readEvents({ limit: 10_000 });
  return events.sort((one, other) => one.seq - other.seq);
}

/** Returns the events that `change` adds to the history, each as its type and the state after it. */
async function addedBy(world: World, change: () => Promise<unknown>): Promise<string[]> {
  const before = (await historyOf(world)).length;
  await change();
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
      await setStartBy(database.sql, "now()");
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

export function historyContract(test: QueueTest): void {
  describe("the history", () => {
    test.for(transitions)(
      "tells of $title once",
      async ({ begin, events }, { queue, database }) => {
        const world = { queue, database };
        const change = await begin(world);
        expect(await addedBy(world, change)).toEqual(events);
        expect(await addedBy(world, change)).toEqual([]);
      },
    );

    test("records hellos and pauses with their details", async ({ queue, database }) => {
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
}

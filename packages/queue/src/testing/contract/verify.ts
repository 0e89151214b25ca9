import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { claim, only, runningJob, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import { makePlan } from "../plan.ts";
import type { QueueFixtures, QueueTest } from "../queue-test.ts";
import { leadSchedule, slot } from "../schedule.ts";

// What the tables' constraints let through, and no function does.
const broken: {
  title: string;
  damage: (sql: Database["sql"]) => Promise<unknown>;
  says: RegExp;
}[] = [
  {
    title: "a run that is over with a step under way",
    damage: (sql) => sql`update public.loom_runs set status = 'succeeded', finished_at = now()`,
    says: /^run .* is succeeded with 3 open/,
  },
  {
    title: "a run that goes on without a step",
    damage: (sql) => sql`
      update public.loom_job_queue
         set state = 'cancelled', finished_at = now(), claimed_by = null, epoch = null, claim_seq = null,
             deadline_at = null
       where run_id is not null`,
    says: /^run .* is running with 0 open/,
  },
  {
    title: "a step that waits for too many",
    damage: (sql) => sql`update public.loom_job_queue set waits_for = 2 where step_id = 'c'`,
    says: /^job .* waits for 2 steps, of which 1 have not succeeded/,
  },
  {
    title: "a step that waits for one that was skipped",
    damage: (sql) => sql`
      update public.loom_job_queue set state = 'skipped', finished_at = now() where step_id = 'b'`,
    says: /^job .* waits for step b, which is skipped/,
  },
  {
    title: "more running jobs than their key allows",
    damage: (sql) => sql`
      update public.loom_job_queue set concurrency_key = 'k', concurrency_limit = 1 where claimed_by is not null`,
    says: /^2 jobs of key k run, and its limit is 1/,
  },
  {
    title: "a job of an epoch that has not come",
    damage: (sql) => sql`update public.loom_job_queue set epoch = 2 where claimed_by is not null`,
    says: /^job .* runs under epoch 2 of forge, whose epoch is 1/,
  },
  {
    title: "a job of a node that never said hello",
    damage: (sql) =>
      sql`update public.loom_job_queue set claimed_by = 'nobody' where claimed_by is not null`,
    says: /^job .* runs under epoch 1 of nobody, whose epoch is/,
  },
  {
    title: "a slot that has its outcome before its time was decided",
    damage: (sql) => sql`update public.loom_schedules set decided_until = '2019-01-01'`,
    says: /^slot nightly@.* has its outcome, and its schedule is decided until 2019-01-01/,
  },
  {
    title: "a slot with a run that is not its schedule's",
    damage: (sql) => sql`update public.loom_runs set schedule_id = null`,
    says: /^slot nightly@.* is of schedule nightly, and its run of none/,
  },
];

/** A schedule with one slot, whose run was cancelled since. */
async function fireSlot(fixtures: QueueFixtures): Promise<void> {
  const { decide } = await leadSchedule(fixtures);
  const { started } = await (await decide([slot(1)]))();
  await fixtures.queue.cancelRun(only(started));
}

export function verifyContract(test: QueueTest): void {
  describe("verify", () => {
    test.for(broken)("finds $title", async ({ damage, says }, { queue, database }) => {
      await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"] },
          { step: "c", after: ["b"] },
        ]),
      );
      await queue.enqueue([makeJob({ host: "forge" })]);
      await claim(queue, await sayHello(queue, "forge"));
      await fireSlot({ queue, database });
      expect(await queue.verify()).toEqual([]);
      await damage(database.sql);
      expect(await queue.verify()).toContainEqual(expect.stringMatching(says));
    });

    test("finds nothing wrong with a node that was lost a moment ago", async ({
      queue,
      database,
    }) => {
      await runningJob(queue);
      await database.sql`update public.loom_node_sessions set dead = true`;
      expect(await queue.verify()).toEqual([]);
    });
  });
}

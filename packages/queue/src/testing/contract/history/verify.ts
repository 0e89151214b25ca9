import type { Database } from "@loom/local-db";
import type { PlannedWait } from "@loom/workflow";
import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import { claim, only, runningJob, sayHello } from "../../agent.ts";
import { addHook } from "../../hooks.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueFixtures, QueueTest } from "../../queue-test.ts";
import { leadSchedule, slot } from "../../schedule.ts";

// Rows that no function writes.
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
      update public.loom_jobs set state = 'cancelled', finished_at = now() where run_id is not null`,
    says: /^run .* is running with 0 open/,
  },
  {
    title: "a step that waits for too many",
    damage: (sql) => sql`update public.loom_jobs set waits_for = 2 where step_id = 'c'`,
    says: /^job .* waits for 2 steps, of which 1 have not ended/,
  },
  {
    title: "a step that waits for one that was skipped",
    damage: (sql) => sql`
      update public.loom_jobs set state = 'skipped', finished_at = now(), skip_reason = 'need_failed' where step_id = 'b'`,
    says: /^job .* is blocked, and by its needs it is skipped: need_failed/,
  },
  {
    title: "more running jobs than their key allows",
    damage: async (sql) => {
      await sql`update public.loom_job_specs set concurrency_limit = 1`;
      await sql`update public.loom_jobs set concurrency_key = 'k' where state = 'running'`;
    },
    says: /^2 jobs of key k run, and its limit is 1/,
  },
  {
    title: "a job of an epoch that has not come",
    damage: (sql) => sql`update public.loom_jobs set epoch = 2 where state = 'running'`,
    says: /^job .* runs under epoch 2 of forge, whose epoch is 1/,
  },
  {
    title: "a job of a node that never said hello",
    damage: (sql) => sql`update public.loom_jobs set ran_on = 'nobody' where state = 'running'`,
    says: /^job .* runs under epoch 1 of nobody, whose epoch is/,
  },
  {
    title: "a slot that is decided although its schedule is not decided until then",
    damage: (sql) => sql`update public.loom_schedules set decided_until = '2019-01-01'`,
    says: /^slot nightly@.* is decided, and its schedule is decided until 2019-01-01/,
  },
  {
    title: "a slot with a run that is not its schedule's",
    damage: (sql) => sql`update public.loom_runs set schedule_id = null`,
    says: /^slot nightly@.* is of schedule nightly, and its run of none/,
  },
  {
    title: "a schedule's run that has no slot",
    damage: (sql) => sql`delete from public.loom_schedule_slots`,
    says: /^run .* was started by schedule nightly, and no slot says so/,
  },
  {
    title: "a node that lost a job twice and is not excluded",
    damage: (sql) => sql`
      update public.loom_jobs set crashed_on = '{forge,forge}', host_pinned = false where state = 'running'`,
    says: /^job .* is running, forge gave it back or was lost with it too often, and is not excluded/,
  },
  {
    title: "a job that is read with others than those of its needs",
    damage: (sql) => sql`update public.loom_ready set kind = gen_random_uuid()`,
    says: /^job .* has the kind of other needs than its own/,
  },
  {
    title: "a run that counts its open steps wrongly",
    damage: (sql) => sql`update public.loom_runs set open_steps = 7 where status = 'running'`,
    says: /^run .* counts 7 open steps, and has 3/,
  },
  {
    title: "a job that has ended and gives no time",
    damage: (sql) => sql`update public.loom_jobs set state = 'failed' where run_id is null`,
    says: /^job .* is failed and ended at no time/,
  },
  {
    title: "a result of a step that goes on",
    damage: (sql) => sql`update public.loom_jobs set result = '1' where state = 'running'`,
    says: /^job .* is running and has a result/,
  },
  {
    title: "a job that waits for a node and is nowhere to be found",
    damage: (sql) => sql`delete from public.loom_ready`,
    says: /^job .* is waiting, and its row in loom_ready is missing/,
  },
  {
    title: "a job that is found for another node than its own",
    damage: (sql) => sql`update public.loom_ready set host = 'attic'`,
    says: /^job .* is waiting, and its row in loom_ready does not say so/,
  },
  {
    title: "an approval that was decided without the step",
    damage: (sql) => sql`update public.loom_approvals set state = 'approved', decided_at = now()`,
    says: /^the approval of job .* is approved, and the job suspended/,
  },
  {
    title: "a step that asks nothing",
    damage: (sql) => sql`delete from public.loom_approvals`,
    says: /^job .* waits for a person, and nothing is asked/,
  },
  {
    title: "a signal that is kept although a step waits for it",
    damage: (sql) => sql`update public.loom_signals set key = 'awaited'`,
    says: /^signal .* is kept, and job .* waits for it/,
  },
  {
    title: "a message about a failure that was none",
    damage: (sql) => sql`
      update public.loom_hook_deliveries set rule = 'run.failed', occurrence = (
        select id::text from public.loom_runs where status = 'running' limit 1)`,
    says: /^message .* says that run .* failed, and it is running/,
  },
  {
    title: "a message that has arrived and was never sent",
    damage: (sql) =>
      sql`update public.loom_hook_deliveries set state = 'delivered', next_at = null`,
    says: /^message .* has arrived, and was never sent/,
  },
  {
    title: "a running job that its node's session does not hold",
    damage: (sql) => sql`update public.loom_node_sessions set held = '{}'`,
    says: /^job .* runs on forge, whose session does not hold it/,
  },
  {
    title: "a running job that the reaper would look at too late",
    damage: (sql) =>
      sql`update public.loom_node_sessions set deadline_at = now() + interval '1 year'`,
    says: /^job .* runs on forge until .*, and nobody looks before/,
  },
  {
    title: "a job whose key does not count it",
    damage: async (sql) => {
      await sql`update public.loom_job_specs set concurrency_limit = 9`;
      await sql`update public.loom_jobs set concurrency_key = 'k' where state = 'running'`;
      await sql`delete from public.loom_keyed_jobs`;
    },
    says: /^job .* of key k is running, and its row of the key says nothing/,
  },
];

/** A schedule with one slot, whose run was cancelled since. */
async function fireSlot(fixtures: QueueFixtures): Promise<void> {
  const { decide } = await leadSchedule(fixtures);
  const { started } = await (await decide([slot(1)]))();
  await fixtures.queue.cancelRun(only(started));
}

/** A step that asks a person and one that waits for a signal, a signal that nobody waits for, and a message. */
async function waitForAll(queue: Queue): Promise<void> {
  const asks: PlannedWait = {
    ...{ kind: "approval", title: "Ship?", who: [], timeoutMs: null, onTimeout: "fail" },
    ...{ inputSchema: null, defaultInput: null },
  };
  const awaits: PlannedWait = {
    ...{ kind: "signal", event: "paid", key: "awaited", timeoutMs: null, parses: false },
  };
  await queue.startRun(
    makePlan([
      { step: "asks", wait: asks },
      { step: "awaits", wait: awaits },
    ]),
  );
  await queue.sendSignal({ event: "paid", key: "kept" });
  while ((await queue.endWaits()).more);
  await addHook(queue, "chat");
  await queue.testHook("chat", "ada");
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
      await queue.enqueue([makeJob()]);
      await fireSlot({ queue, database });
      await waitForAll(queue);
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

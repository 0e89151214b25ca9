import { definition, schedulePlan } from "../../../src/testing/schedule.ts";
import type { Provocation } from "../provocation.ts";

/**
 * A schedule was decided until a time that has not come, with one slot that got its run and one that got
 * none; then the clock is set back.
 */
export const rewound: Provocation = async ({ queue, sql }, name) => {
  const { epoch } = await queue.lead(name, 6_000);
  await queue.syncSchedules([definition(name)], epoch);
  const { runId } = await queue.startRun(schedulePlan, { trigger: "schedule" });
  await sql`update public.loom_runs set schedule_id = ${name} where id = ${runId}`;
  await sql`update public.loom_schedules set decided_until = now() + interval '3 weeks' where id = ${name}`;
  await sql`
    insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, run_id, code, reason)
    values (${`${name}@1`}, ${name}, now() + interval '1 day', 'fired', ${runId}, null, null),
           (${`${name}@2`}, ${name}, now() + interval '2 days', 'skipped', null, 'overlap', 'an earlier run goes on')`;
  const { schedules } = await queue.listSchedules();
  const { revision = 0 } = schedules.find(({ id }) => id === name) ?? {};
  await queue.rewindSchedule(name, revision, epoch);
  await queue.resign(name, epoch);
};

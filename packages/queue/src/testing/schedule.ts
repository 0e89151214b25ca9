import { cron, type RunPlan, type Schedule as Timing } from "@loom/workflow";
import type { NewSlot, Schedule, Schedules } from "../schedules.ts";
import { only } from "./agent.ts";
import { makePlan } from "./plan.ts";
import type { QueueFixtures } from "./queue-test.ts";

/** A schedule of the workflow that `makePlan` plans. */
export const definition = (id: string, timing: Timing = cron("@hourly")) => ({
  ...timing,
  id,
  workflow: "made-for-test",
});

export const schedulePlan: RunPlan = makePlan([{ step: "a" }, { step: "b", after: ["a"] }]);

/** An hour of the first day of 2020. */
export const hour = (hours: number) => new Date(Date.UTC(2020, 0, 1, hours));

/** A slot that is fired in an hour of that day. */
export const slot = (hours: number, rest: Partial<NewSlot> = {}): NewSlot => ({
  id: `nightly@${hours}`,
  at: hour(hours),
  decision: "fired",
  start: "now",
  ...rest,
});

/** A slot that got no run. */
export const skippedSlot = (hours: number): NewSlot => ({
  id: `nightly@${hours}`,
  at: hour(hours),
  decision: "skipped",
  code: "overlap",
  reason: "an earlier run had not finished",
});

/** Every schedule is decided until the first hour of 2020. */
export const rewind = ({ database }: Pick<QueueFixtures, "database">) =>
  database.sql`update public.loom_schedules set decided_until = ${hour(0).toISOString()}`;

/** Makes a leader with one schedule, nightly, which is decided until `hour(0)`. */
export interface LedSchedule {
  epoch: number;
  read(): Promise<Schedule>;
  /** Makes a decision from the schedule's present state. It can be sent any number of times. */
  decide(slots: NewSlot[], until?: Date): Promise<() => ReturnType<Schedules["decideSlots"]>>;
}

export async function leadSchedule(
  { queue, database }: QueueFixtures,
  timing?: Timing,
): Promise<LedSchedule> {
  const { epoch } = await queue.lead("one", 6_000);
  await queue.syncSchedules([definition("nightly", timing)], epoch);
  await rewind({ database });
  const read = async () => only((await queue.listSchedules()).schedules);
  return {
    epoch,
    read,
    async decide(slots, decidedUntil = hour(12)) {
      const { id: schedule, revision } = await read();
      const decision = { schedule, revision, slots, decidedUntil, plan: schedulePlan };
      return () => queue.decideSlots(decision, epoch);
    },
  };
}

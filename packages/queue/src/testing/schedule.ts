import { cron, type RunPlan, type Schedule as Timing } from "@loom/workflow";
import type { Queue } from "../queue.ts";
import type { Schedule } from "../schedule.ts";
import { only } from "./agent.ts";
import { makePlan } from "./plan.ts";

/** Of the workflow that `makePlan` plans. */
export const definition = (id: string, timing: Timing = cron("@hourly")) => ({
  ...timing,
  id,
  workflow: "made-for-test",
});

export const schedulePlan: RunPlan = makePlan([{ step: "a" }, { step: "b", after: ["a"] }]);

/** A queue whose leader has one schedule, nightly. */
export interface LedSchedule {
  epoch: number;
  read(): Promise<Schedule>;
}

export async function leadSchedule(queue: Queue, timing?: Timing): Promise<LedSchedule> {
  const { epoch } = await queue.lead("one", 6_000);
  await queue.syncSchedules([definition("nightly", timing)], epoch);
  return { epoch, read: async () => only((await queue.listSchedules()).schedules) };
}

import type { NewSlot, Queue, Schedule } from "@loom/queue";
import { decideSlots, nextSlot, PlanError, planRun } from "@loom/scheduler";
import type { Log } from "@loom/worker";
import { type AnyWorkflow, InvalidInputError, type RunPlan } from "@loom/workflow";

/** Starts the runs of schedules. */
export interface Timetable {
  /**
   * Gives every slot that is due its outcome, and starts the runs that follow.
   *
   * @param epoch - Of this hub's lead.
   * @returns In how many milliseconds to look again, unless something happens before.
   */
  round(epoch: number): Promise<number>;
}

/** How often to look when nothing is due: another hub may have paused or changed something. */
const LOOK_MS = 5_000;
/** And while a slot waits for the end of a run, of which nobody may tell. */
const LOOK_QUEUED_MS = 500;
/** How far behind `decidedUntil` may stay while nothing is due. A new expression goes on from there. */
const BEHIND_MS = 60_000;

/** A schedule is not as it was read, or there is more of it to do. */
const AGAIN = 0;

/**
 * Creates the timetable of a hub's workflows.
 *
 * Each round reads every schedule with what its slots depend on, decides with `decideSlots`, and
 * writes slots, runs and progress of one schedule in one call. The call is taken only when the
 * schedule is still as it was read and this hub still leads; otherwise the next round decides anew.
 */
export function createTimetable({
  queue,
  workflows,
  log,
  defaultHost,
  onStarted = () => {},
  onDecided = () => {},
}: {
  queue: Queue;
  workflows: ReadonlyMap<string, AnyWorkflow>;
  log: Log;
  /** The node that is preferred for steps that neither require nor prefer anything. */
  defaultHost?: string | undefined;
  /** Called when runs were started. */
  onStarted?: () => void;
  /** Called with each slot that was given its outcome. */
  onDecided?: (slot: { schedule: string; outcome: NewSlot["outcome"] }) => void;
}): Timetable {
  let syncedIn: number | undefined;

  /** Ready once the schedules are those of this hub's workflows. */
  async function sync(epoch: number): Promise<boolean> {
    if (syncedIn === epoch) return true;
    const definitions = [...workflows.values()].flatMap(({ name, schedule }) =>
      schedule ? [{ ...schedule, id: name, workflow: name }] : [],
    );
    if ((await queue.syncSchedules(definitions, epoch)) === "deposed") return false;
    syncedIn = epoch;
    return true;
  }

  /** @returns In how many milliseconds of the database's time there is more to do. */
  async function advance(schedule: Schedule, now: Date, epoch: number): Promise<number> {
    const workflow = workflows.get(schedule.workflow);
    if (!workflow || schedule.removedAt !== null) return LOOK_MS;
    const paused = schedule.pausedAt !== null;
    const plan = planOf(workflow, { input: schedule.input, defaultHost });
    if (schedule.queued !== null && !schedule.running && !paused && !(plan instanceof Error)) {
      const { answer } = await queue.startQueuedSlot(schedule.id, plan, epoch);
      if (answer !== "started") return LOOK_QUEUED_MS;
      log.info({ slot: schedule.queued }, "queued run started");
      onStarted();
      return AGAIN;
    }

    const { slots, decidedUntil } = decideSlots(schedule, { ...schedule, now, paused });
    if (slots.length > 0 || now.getTime() - schedule.decidedUntil.getTime() > BEHIND_MS) {
      const decision =
        plan instanceof Error
          ? { slots: slots.map((slot) => withoutRun(slot, plan)), plan: null }
          : { slots, plan };
      const { answer, started } = await queue.decideSlots(
        { schedule: schedule.id, revision: schedule.revision, decidedUntil, ...decision },
        epoch,
      );
      if (answer === "deposed") return LOOK_MS;
      if (answer === "changed") return AGAIN;
      if (plan instanceof Error && slots.length > 0) {
        log.error({ schedule: schedule.id, err: plan }, "no run of the schedule can be planned");
      }
      for (const { id, outcome } of decision.slots) {
        log.info({ slot: id, outcome }, "slot decided");
        onDecided({ schedule: schedule.id, outcome });
      }
      if (started.length > 0) onStarted();
      // What was written may have queued a slot, or be a part of what is due.
      if (slots.length > 0) return AGAIN;
    }
    if (schedule.queued !== null) return LOOK_QUEUED_MS;
    const next = nextSlot(schedule, now);
    return next === null ? LOOK_MS : Math.min(LOOK_MS, next.getTime() - now.getTime());
  }

  return {
    async round(epoch) {
      if (!(await sync(epoch))) return LOOK_MS;
      const { now, schedules } = await queue.listSchedules();
      const readAt = performance.now();
      let inMs = LOOK_MS;
      for (const schedule of schedules) {
        inMs = Math.min(inMs, await advance(schedule, now, epoch));
      }
      return Math.max(0, Math.ceil(inMs - (performance.now() - readAt)));
    },
  };
}

/** The plan of a schedule's next run, or why there is none: a fault of its workflow. */
function planOf(
  workflow: AnyWorkflow,
  options: { input: Schedule["input"]; defaultHost: string | undefined },
): RunPlan | Error {
  try {
    return planRun(workflow, options);
  } catch (error) {
    if (error instanceof PlanError || error instanceof InvalidInputError) return error;
    throw error;
  }
}

/** What becomes of a slot whose run cannot be planned. */
function withoutRun(slot: NewSlot, error: Error): NewSlot {
  if (slot.start === undefined) return slot;
  const { id, at } = slot;
  return { id, at, outcome: "skipped", code: "plan_failed", reason: error.message };
}

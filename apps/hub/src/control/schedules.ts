import { type NewSlot, QueueRequestError, type Schedule } from "@loom/queue";
import { decideSlots, nextSlot } from "@loom/scheduler";
import type { Planner } from "@loom/worker";
import type { RunPlan } from "@loom/workflow";
import pMap from "p-map";
import type { HubContext } from "../hub-context.ts";
import { createFaults } from "./faults.ts";

/** Starts the runs of schedules. */
export interface ScheduleLoop {
  /**
   * Decides every slot that is due, and starts the runs that follow.
   *
   * @param epoch - The epoch of this hub's lead.
   * @returns After how many milliseconds to run the next round. It is due earlier when another hub has changed a
   *   schedule, or when the run has ended that a slot waits for.
   */
  round(epoch: number): Promise<number>;
}

/**
 * How far `decidedUntil` may lag while nothing is due, and how long to wait at most. A changed expression continues from
 * there.
 */
const BEHIND_MS = 60_000;
/** How long to wait while there is nothing to decide, because files are being imported or another hub leads. */
const RETRY_MS = 5_000;

/** How far `decidedUntil` may be ahead of the database's clock before the clock counts as set back. */
const AHEAD_MS = 10_000;

/** How many schedules are advanced at a time. */
const SCHEDULES_AT_ONCE = 3;

/** The schedule has changed since it was read, or has more work: run the next round at once. */
const AGAIN = 0;

/**
 * Creates the loop that runs the schedules of a hub's workflows.
 *
 * Each round reads every schedule with the facts that its slots depend on, decides with `decideSlots`, and writes
 * the slots, runs and progress of one schedule in one call. The database accepts the call only if the schedule is
 * unchanged and this hub still leads; otherwise the next round decides again.
 *
 * When a run cannot be planned or stored, its slot is skipped with `plan_failed`. Any other failure of one schedule
 * is noted as a fault, and the other schedules continue.
 */
export function createScheduleLoop({
  queue,
  planner,
  log,
  faults = createFaults({ log }),
  defaultHost,
  onStarted = () => {},
  onDecided = () => {},
}: Pick<HubContext, "queue" | "planner" | "log"> &
  Partial<Pick<HubContext, "faults" | "defaultHost">> & {
    /** Called after runs were started. */
    onStarted?: () => void;
    /** Called with each decided slot. */
    onDecided?: (slot: { schedule: string; decision: NewSlot["decision"] }) => void;
  }): ScheduleLoop {
  /** The lead and the revision of the workflows for which the schedules were last written. */
  let synced = "";

  /** Writes the schedules of this hub's workflows; false while that is not possible. */
  async function sync(epoch: number): Promise<boolean> {
    // The schedules of files that are still being imported must not be removed.
    if (planner.loading.length > 0) return false;
    const current = `${epoch}/${planner.revision}`;
    if (synced === current) return true;
    const definitions = [...planner.workflows.values()].flatMap(({ name, schedule }) =>
      schedule ? [{ ...schedule, id: name, workflow: name }] : [],
    );
    const { answer, refused } = await queue.syncSchedules(definitions, epoch);
    if (answer === "deposed") return false;
    for (const { id, reason } of refused) {
      const message = `the schedule cannot be stored, and starts nothing: ${reason}`;
      faults.note({ loop: "schedule", subject: id }, new Error(message));
    }
    synced = current;
    return true;
  }

  /** @returns After how many milliseconds of the database's clock the schedule has more to do. */
  async function advance(schedule: Schedule, now: Date, epoch: number): Promise<number> {
    const workflow = planner.workflows.get(schedule.workflow);
    if (!workflow || schedule.removedAt !== null) return BEHIND_MS;
    if (schedule.decidedUntil.getTime() - now.getTime() > AHEAD_MS) {
      if (await queue.rewindSchedule(schedule.id, schedule.revision, epoch)) {
        const until = schedule.decidedUntil.toISOString();
        const message = `its slots were decided until ${until}, and the database's clock says ${now.toISOString()}: it was set back, so the schedule continues from now`;
        faults.note({ loop: "schedule", subject: schedule.id }, new Error(message));
      }
      return AGAIN;
    }
    const paused = schedule.pausedAt !== null;
    const planNext = () => planOf(planner, workflow.name, { input: schedule.input, defaultHost });
    if (schedule.queued !== null && !schedule.running && !paused) {
      const { queued } = schedule;
      const { answer } = await orWithoutRun(await planNext(), (plan) =>
        queue.startQueuedSlot(
          schedule.id,
          plan instanceof Error ? { failure: reasonOf(plan) } : plan,
          epoch,
        ),
      );
      if (answer !== "started" && answer !== "skipped") return RETRY_MS;
      log.info({ slot: queued }, `queued run ${answer}`);
      if (answer === "started") onStarted();
      return AGAIN;
    }

    const { slots, decidedUntil } = decideSlots(schedule, { ...schedule, now, paused });
    const behindMs = now.getTime() - schedule.decidedUntil.getTime();
    const isBehind = behindMs > BEHIND_MS;
    if (slots.length > 0 || isBehind) {
      // The author's code runs only when a run is to start.
      const plan = slots.some((slot) => "start" in slot) ? await planNext() : null;
      const { answer, started, decided } = await orWithoutRun(plan, async (made) => {
        const decided = made instanceof Error ? slots.map((slot) => withoutRun(slot, made)) : slots;
        const written = await queue.decideSlots(
          {
            schedule: schedule.id,
            revision: schedule.revision,
            decidedUntil,
            slots: decided,
            plan: made instanceof Error ? null : made,
          },
          epoch,
        );
        if (made instanceof Error) faults.note({ loop: "schedule", subject: schedule.id }, made);
        return { ...written, decided };
      });
      if (answer === "deposed") return RETRY_MS;
      if (answer === "changed") return AGAIN;
      for (const { id, decision } of decided) {
        log.info({ slot: id, decision }, "slot decided");
        onDecided({ schedule: schedule.id, decision });
      }
      if (started.length > 0) onStarted();
      // A slot may have been queued, or more slots may be due.
      if (slots.length > 0) return AGAIN;
    }
    const nextMs = (nextSlot(schedule, now)?.getTime() ?? Number.POSITIVE_INFINITY) - now.getTime();
    return Math.min(isBehind ? BEHIND_MS : BEHIND_MS - behindMs + 1, nextMs);
  }

  return {
    async round(epoch) {
      if (!(await sync(epoch))) return RETRY_MS;
      const { now, schedules } = await queue.listSchedules();
      const readAt = performance.now();
      // A schedule whose workflow's code hangs does not delay the others.
      const waits = await pMap(
        schedules,
        async (schedule) => {
          const item = { loop: "schedule", subject: schedule.id };
          return (await faults.isolate(item, () => advance(schedule, now, epoch))) ?? RETRY_MS;
        },
        { concurrency: SCHEDULES_AT_ONCE },
      );
      const inMs = Math.min(BEHIND_MS, ...waits);
      return Math.max(0, Math.ceil(inMs - (performance.now() - readAt)));
    },
  };
}

/** Plans a schedule's next run, or returns the error that prevents it. */
async function planOf(
  planner: Planner,
  workflow: string,
  options: { input: Schedule["input"]; defaultHost: string | undefined },
): Promise<RunPlan | Error> {
  try {
    return await planner.plan(workflow, options);
  } catch (error) {
    // A busy planner is tried again in the next round.
    if (!(error instanceof Error) || ("code" in error && error.code === "PLANNER_BUSY"))
      throw error;
    return error;
  }
}

/** Writes with a plan. When the database refuses its contents, writes without a plan and with the reason. */
async function orWithoutRun<Plan extends RunPlan | null, Answer>(
  plan: Plan | Error,
  write: (plan: Plan | Error) => Promise<Answer>,
): Promise<Answer> {
  try {
    return await write(plan);
  } catch (error) {
    if (plan === null || plan instanceof Error || !(error instanceof QueueRequestError))
      throw error;
    return write(error);
  }
}

/** Turns a slot whose run cannot be planned or stored into a skipped one. */
function withoutRun(slot: NewSlot, error: Error): NewSlot {
  if (slot.start === undefined) return slot;
  const { id, at } = slot;
  return { id, at, decision: "skipped", code: "plan_failed", reason: reasonOf(error) };
}

/** A message as Postgres stores it: without NUL characters, which the message may quote. */
const reasonOf = ({ message }: Error): string =>
  message.replaceAll("\0", "\u{2400}").slice(0, 2_000);

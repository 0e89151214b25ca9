import type { ConditionDecision, TakenCondition } from "@loom/queue";
import { ConditionError } from "@loom/scheduler";
import { WorkflowCodeError } from "@loom/worker";
import { limits } from "@loom/workflow";
import type { HubContext } from "../hub-context.ts";

/** How many conditions are taken at once. */
const TAKEN = 20;
/** How long to wait before an evaluation that was not possible is tried again: so long, times the tries. */
const LATER_MS = 5_000;
/** How long to wait at most. A round wakes the loop earlier when there is something to evaluate. */
const REST_MS = 60_000;

/** Evaluates the conditions of steps. */
export interface ConditionLoop {
  /** @returns After how many milliseconds to run the next round. */
  round(): Promise<number>;
}

/**
 * Creates the loop that evaluates conditions in the planner's process, and records what they decided.
 *
 * Any number of hubs may evaluate at once: the database gives each condition to one of them for 30 s, and records the
 * decision of the last that took it. A condition that throws, or does not answer, fails its step. If it cannot be
 * called at all, for example because this hub does not have the code, it is tried again, ten times in all.
 */
export function createConditionLoop({
  queue,
  planner,
  log,
  onDecided = () => {},
}: Pick<HubContext, "log"> & {
  queue: Pick<HubContext["queue"], "takeConditions" | "recordConditions">;
  planner: Pick<HubContext["planner"], "decide">;
  /** Called when steps were decided: they may be there to place, and the ends of others may follow. */
  onDecided?: () => void;
}): ConditionLoop {
  async function decide(taken: TakenCondition): Promise<ConditionDecision> {
    const { id, fence, workflow, step } = taken;
    try {
      return { id, fence, ...(await planner.decide(taken)) };
    } catch (error) {
      const { name, code, message } = describe(error);
      if (error instanceof ConditionError || error instanceof WorkflowCodeError) {
        log.warn({ jobId: id, workflow, step, code, problem: message }, "condition failed");
        return { id, fence, outcome: "fails", error: { name, code, message } };
      }
      log.warn({ jobId: id, workflow, step, err: error }, "condition not evaluated");
      if (fence < limits.conditionTries) {
        return { id, fence, outcome: "later", reason: message, delayMs: LATER_MS * fence };
      }
      const problem = `its condition could not be evaluated ${fence} times, the last time because: ${message}`;
      const undecided = { name, code: "CONDITION_NOT_EVALUATED", message: problem };
      return { id, fence, outcome: "fails", error: undecided };
    }
  }

  return {
    async round() {
      const taken = await queue.takeConditions({ limit: TAKEN });
      if (taken.length === 0) return REST_MS;
      // Each is recorded as soon as it is there, together with those that came meanwhile: a slow one delays no other.
      const decided: ConditionDecision[] = [];
      let writing: Promise<void> | undefined;
      const write = async () => {
        while (decided.length > 0) {
          await queue.recordConditions(decided.splice(0));
          onDecided();
        }
      };
      await Promise.all(
        taken.map(async (each) => {
          decided.push(await decide(each));
          writing ??= write().finally(() => {
            writing = undefined;
          });
          await writing;
        }),
      );
      return taken.length < TAKEN ? REST_MS : 0;
    },
  };
}

/** An error as a step's error is stored: bounded, and without NUL characters. */
function describe(error: unknown): { name: string; code: string; message: string } {
  const { name = "Error", code, message = String(error) } = error as Partial<NodeJS.ErrnoException>;
  const text = message.replaceAll("\0", "\u{2400}").slice(0, limits.noteLength).toWellFormed();
  return { name, code: code ?? "CONDITION_NOT_EVALUATED", message: text };
}

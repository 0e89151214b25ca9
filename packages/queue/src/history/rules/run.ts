import { isFinal, type RunHistory, transactionOf } from "../history.ts";
import type { Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

/** A run starts once, before anything else of it happens. */
export const runStartsOnce: Rule = function* ({ runs }) {
  for (const { id, started, events } of runs.values()) {
    if (started.length !== 1 || events[0]?.type !== "run.started") {
      yield { message: `the run started ${started.length} times, or not first`, runId: id };
    }
  }
};

/** A run finishes once: in the transaction that ends the last of its steps, and not without. */
export const runFinishesWithLastStep: Rule = function* ({ runs }) {
  for (const run of runs.values()) {
    const isOver = run.jobs.every(({ state }) => isFinal(state));
    if (run.finished.length !== (isOver ? 1 : 0)) {
      const steps = isOver ? "every step has ended" : "a step has not ended";
      yield {
        message: `${steps}, and the run finished ${run.finished.length} times`,
        runId: run.id,
      };
    }
    for (const finish of run.finished) {
      const last = lastEnd(run);
      if (run.events.at(-1) !== finish) yield findingAt(finish, "the run went on after it");
      else if (!last || transactionOf(last) !== transactionOf(finish)) {
        yield findingAt(finish, "no step ended in the same transaction");
      }
    }
  }
};

function lastEnd({ jobs }: RunHistory) {
  const ends = jobs.flatMap(({ end }) => end ?? []);
  return ends.toSorted((a, b) => a.seq - b.seq).at(-1);
}

/** A run's status follows from its steps: failed if one failed, else cancelled if one was, else succeeded. */
export const runStatusFollows: Rule = function* ({ runs }) {
  for (const { jobs, finished } of runs.values()) {
    const states = new Set(jobs.map(({ state }) => state));
    const status = ["failed", "cancelled"].find((state) => states.has(state)) ?? "succeeded";
    for (const finish of finished) {
      if (finish.state !== status) {
        yield findingAt(finish, `as ${finish.state}; its steps make it ${status}`);
      }
    }
  }
};

import { isFinal } from "../history.ts";
import type { Rule } from "../rule.ts";

/** What was acknowledged is there. */
export const acceptedIsKept: Rule = function* ({ jobs, runs, options }) {
  for (const id of options.accepted ?? []) {
    if (typeof id === "number" && !jobs.has(id)) {
      yield { message: "an acknowledged job is nowhere in the history", jobId: id };
    }
    if (typeof id === "string" && !runs.get(id)?.jobs.length) {
      yield { message: "an acknowledged run is nowhere in the history", runId: id };
    }
  }
};

/** Once all is done, every job has ended. */
export const allDrained: Rule = function* ({ jobs, options }) {
  if (!options.drained) return;
  for (const { id, state } of jobs.values()) {
    if (!isFinal(state)) yield { message: `it is left over as ${state}`, jobId: id };
  }
};

/** A job's row says what its last event says, and each row has a history. */
export const rowAgrees: Rule = function* ({ jobs, options }) {
  for (const { id, state } of options.jobs ?? []) {
    const told = jobs.get(id)?.state ?? "never created";
    if (state !== undefined && state !== told) {
      yield { message: `its row is ${state}, its history ends with ${told}`, jobId: id };
    }
  }
};

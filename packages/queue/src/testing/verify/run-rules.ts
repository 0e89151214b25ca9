import { fateOf, type Outcome, outcomeOf, type SkipReason } from "@loom/workflow";
import type { QueueEvent } from "../../history/events.ts";
import {
  breachAt,
  type History,
  isFinal,
  type JobHistory,
  type KnownJob,
  type Rule,
  type RunHistory,
  transactionOf,
} from "./history.ts";

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
      if (run.events.at(-1) !== finish) yield breachAt(finish, "the run went on after it");
      else if (!last || transactionOf(last) !== transactionOf(finish)) {
        yield breachAt(finish, "no step ended in the same transaction");
      }
    }
  }
};

function lastEnd({ jobs }: RunHistory) {
  const ends = jobs.flatMap(({ end }) => end ?? []);
  return ends.toSorted((a, b) => a.seq - b.seq).at(-1);
}

/**
 * A run's status follows from its steps: failed if one failed that is not optional, else cancelled if one was, else
 * succeeded.
 */
export const runStatusFollows: Rule = function* ({ runs }) {
  for (const { jobs, finished } of runs.values()) {
    const steps = jobs.filter(({ itemOf }) => itemOf === null);
    const counted = steps.filter(({ state, known }) => state !== "failed" || !known?.isOptional);
    const states = new Set(counted.map(({ state }) => state));
    const status = ["failed", "cancelled"].find((state) => states.has(state)) ?? "succeeded";
    for (const finish of finished) {
      if (finish.state !== status) {
        yield breachAt(finish, `as ${finish.state}; its steps make it ${status}`);
      }
    }
  }
};

interface Need {
  end: QueueEvent | null;
  /** Null while it has not ended. */
  outcome: Outcome | null;
}

function outcomeBy(end: QueueEvent | null, known: KnownJob | undefined): Outcome | null {
  if (end === null) return null;
  const { state, detail } = end;
  return outcomeOf(
    state === "skipped"
      ? { state, reason: detail as SkipReason }
      : { state: state as "succeeded" | "failed" | "cancelled" },
    { optional: known?.isOptional ?? false, skip: known?.cascades ? "cascade" : "pass" },
  );
}

/** Steps that need others, each with how those ended. */
function* dependents({ jobs }: History): Generator<[JobHistory, KnownJob, Need[]]> {
  const nameOf = (runId: string | null | undefined, step: string | undefined) => `${runId} ${step}`;
  const steps = [...jobs.values()].filter(({ itemOf }) => itemOf === null);
  const byName = new Map(steps.map((job) => [nameOf(job.known?.runId, job.known?.step), job]));
  for (const job of steps) {
    const { known } = job;
    if (!known?.after?.length) continue;
    const needs = known.after.map((step) => {
      const need = byName.get(nameOf(known.runId, step));
      const end = need?.end ?? null;
      return { end, outcome: outcomeBy(end, need?.known) };
    });
    yield [job, known, needs];
  }
}

/** Whether one event was written before another. Events of one transaction have no order. */
const isThereBy = (first: QueueEvent | null, event: QueueEvent): first is QueueEvent =>
  first !== null && (first.seq < event.seq || transactionOf(first) === transactionOf(event));

/** What becomes of a step, by what has happened when an event was written. */
const fateBy = (event: QueueEvent, needs: readonly Need[], known: KnownJob): string =>
  fateOf(
    needs.map(({ end, outcome }) => (isThereBy(end, event) ? outcome : null)),
    known.runsAfter ?? "success",
  );

/** A job is ready when the steps that it needs have ended as it wants them to, and not before. */
export const readyWithNeeds: Rule = function* (history) {
  for (const [{ moments }, known, needs] of dependents(history)) {
    for (const { event } of moments) {
      const isReady =
        event.type === "job.created"
          ? event.state !== "blocked" && event.state !== "skipped"
          : event.type === "job.ready" || event.type === "job.suspended";
      const fate = isReady ? fateBy(event, needs, known) : "runs";
      if (fate !== "runs") yield breachAt(event, `by its needs it is not ready but ${fate}`);
    }
  }
};

/** A job is skipped because of how the steps that it needs ended, or by its own condition, and says so. */
export const skippedWithNeeds: Rule = function* (history) {
  for (const [{ moments }, known, needs] of dependents(history)) {
    for (const { event, job } of moments) {
      if (event.type !== "job.skipped") continue;
      const fate = job?.state === "suspended" ? "condition" : fateBy(event, needs, known);
      if (fate !== event.detail) {
        yield breachAt(event, `for ${event.detail}, although by its needs: ${fate}`);
      }
    }
  }
};

/** A job leaves blocked with the transaction in which its needs decide. */
export const neverStuck: Rule = function* (history) {
  for (const [{ id, runId, moments }, known, needs] of dependents(history)) {
    const ends = needs.flatMap(({ end }) => end ?? []).toSorted((a, b) => a.seq - b.seq);
    const decision = ends.find((end) => fateBy(end, needs, known) !== "blocked");
    const left = moments.find(({ event }) => event.state !== "blocked")?.event ?? null;
    if (decision && !isThereBy(left, decision)) {
      const message = "it stayed blocked when its needs had decided";
      yield { message, jobId: id, ...(runId && { runId }) };
    }
  }
};

/** The epochs of a node never fall, and rise when it comes back from the dead. */
export const epochGrows: Rule = function* ({ moments }) {
  for (const { event, session } of moments) {
    if (event.type !== "node.hello" || session === null) continue;
    const least = session.isDead ? session.epoch + 1 : session.epoch;
    if ((event.epoch ?? 0) < least) {
      yield breachAt(event, `epoch ${event.epoch} after ${session.epoch}`);
    }
  }
};

/** Only a session that is open is declared dead. */
export const diesOnce: Rule = function* ({ moments }) {
  for (const { event, session } of moments) {
    if (event.type !== "node.dead") continue;
    if (session === null || session.isDead || session.epoch !== event.epoch) {
      yield breachAt(event, `no session of epoch ${event.epoch} was open`);
    }
  }
};

/** Revoking a key ends the session that it opened. */
export const revokedSessionEnds: Rule = function* ({ moments }) {
  for (const { event, session } of moments) {
    if (event.type !== "node.key_revoked" || event.epoch === null) continue;
    if (session?.epoch === event.epoch && !session.isDead) {
      yield breachAt(event, `the session of epoch ${event.epoch} goes on`);
    }
  }
};

/** Every acknowledged job and run exists. */
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
    const written = jobs.get(id)?.state ?? "never created";
    if (state !== undefined && state !== written) {
      yield { message: `its row is ${state}, its history ends with ${written}`, jobId: id };
    }
  }
};

import type { QueueEvent } from "../../event.ts";
import { type History, type JobHistory, transactionOf } from "../history.ts";
import type { Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

/** Jobs that need others, each with how those ended (null: not yet). */
function* dependents({ jobs }: History): Generator<[JobHistory, (QueueEvent | null)[]]> {
  const nameOf = (runId: string | null | undefined, step: string | undefined) => `${runId} ${step}`;
  const ends = new Map(
    [...jobs.values()].map(({ known, end }) => [nameOf(known?.runId, known?.step), end]),
  );
  for (const job of jobs.values()) {
    const { runId, after = [] } = job.known ?? {};
    if (after.length > 0) yield [job, after.map((step) => ends.get(nameOf(runId, step)) ?? null)];
  }
}

/** Whether one event was there when another came; what one transaction writes has no order. */
const isThereBy = (first: QueueEvent | null, event: QueueEvent): first is QueueEvent =>
  first !== null && (first.seq < event.seq || transactionOf(first) === transactionOf(event));

/** A job is ready when every step that it needs has succeeded, and not before. */
export const readyWithNeeds: Rule = function* (history) {
  for (const [{ moments }, needs] of dependents(history)) {
    for (const { event } of moments) {
      const isReady =
        event.type === "job.created" ? event.state !== "blocked" : event.type === "job.ready";
      if (!isReady) continue;
      const open = needs.filter((end) => !isThereBy(end, event) || end.state !== "succeeded");
      if (open.length > 0) yield findingAt(event, `${open.length} of its needs had not succeeded`);
    }
  }
};

/** A job is skipped because a step that it needs ended otherwise than well. */
export const skippedWithNeeds: Rule = function* (history) {
  for (const [{ moments }, needs] of dependents(history)) {
    for (const { event } of moments) {
      if (event.type !== "job.skipped") continue;
      if (!needs.some((end) => isThereBy(end, event) && end.state !== "succeeded")) {
        yield findingAt(event, "none of its needs had failed");
      }
    }
  }
};

/** A job leaves blocked with the transaction in which its needs decide: all succeeded, or one did not. */
export const neverStuck: Rule = function* (history) {
  for (const [{ id, runId, moments }, needs] of dependents(history)) {
    const ends = needs.filter((end) => end !== null).toSorted((a, b) => a.seq - b.seq);
    const decision =
      ends.find(({ state }) => state !== "succeeded") ??
      (ends.length === needs.length ? ends.at(-1) : undefined);
    const left = moments.find(({ event }) => event.state !== "blocked")?.event ?? null;
    if (decision && !isThereBy(left, decision)) {
      const message = "it stayed blocked when its needs had decided";
      yield { message, jobId: id, ...(runId && { runId }) };
    }
  }
};

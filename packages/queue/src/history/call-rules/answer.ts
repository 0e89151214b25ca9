import type { CallRule } from "../call-rule.ts";
import { isFinal } from "../history.ts";
import { answered } from "../recorded-call.ts";
import { recordedItems } from "./settle.ts";

/** A batch is answered item by item, in its order. */
export const answeredInOrder: CallRule = function* (calls) {
  for (const { args, answer } of answered(calls, "enqueue")) {
    const [jobs] = args;
    if (answer.length !== jobs.length) {
      yield { message: `${jobs.length} new jobs got ${answer.length} answers` };
    }
  }
  for (const { args, answer } of answered(calls, "settle")) {
    const [node, items] = args;
    for (const [index, { id, fence }] of items.entries()) {
      const given = answer[index];
      // What could not be read is answered without id and fence.
      if (given?.answer === "invalid" || (given?.id === id && given.fence === fence)) continue;
      const message = `item ${id}#${fence} got the answer for ${given?.id}#${given?.fence}`;
      yield { message, node, jobId: id };
    }
  }
};

/** Who reads a job after its outcome was recorded finds that outcome. */
export const keptResult: CallRule = function* (calls) {
  const reads = [
    ...answered(calls, "getJob").map(({ answer, startedAt }) => ({ jobs: [answer], startedAt })),
    ...answered(calls, "getRun").map(({ answer, startedAt }) => ({ jobs: answer.jobs, startedAt })),
  ].toSorted((a, b) => a.startedAt - b.startedAt);
  const last = new Map(
    reads.flatMap(({ jobs, startedAt }) => jobs.map((job) => [job.id, { job, startedAt }])),
  );

  for (const { node, item, answer, endedAt } of recordedItems(calls)) {
    const read = last.get(item.id);
    if (!isFinal(answer.state) || !read || read.startedAt < endedAt) continue;
    const { job } = read;
    const isKept =
      job.state === answer.state &&
      (item.outcome !== "succeeded" ||
        (job.state === "succeeded" && JSON.stringify(job.result) === JSON.stringify(item.result)));
    if (!isKept) {
      const message = `fence ${item.fence} was recorded as ${answer.state}; later it is ${job.state}, or has another result`;
      yield { message, node, jobId: item.id };
    }
  }
};

import type { AppendAnswer, Queue } from "@loom/queue";
import { databaseTest } from "@loom/queue/testing";
import { planRun } from "@loom/scheduler";
import { createInlineRunner, createWorker, type Worker, type WorkerOptions } from "@loom/worker";
import {
  type AnyWorkflow,
  defineWorkflow,
  type StepContext,
  type StepOptions,
  type StepReturn,
} from "@loom/workflow";
import { expect } from "vitest";
import { type Line, recordLog } from "./recorded-log.ts";

interface StartedWorker {
  worker: Worker;
  lines: Line[];
  /** Aborts the worker's signal. */
  stop(): void;
  /** What `run` returned. */
  done: Promise<void>;
}

/** Vitest's `test` with a queue and workers of the node `forge`, which end with the test. */
export const test = databaseTest
  .extend("makeWorker", ({ queue }) => (options: MadeWorker) => {
    const log = recordLog();
    const worker = createWorker({
      node: { name: "forge", capabilities: ["docker"] },
      queue,
      // Steps that a test shares variables with have to be in its process.
      runner: createInlineRunner(options.workflows),
      log,
      // A stopped worker waits for nobody, unless the test is about that.
      graceMs: 0,
      heartbeatMs: 25,
      pollMs: 25,
      ...options,
    });
    return { worker, lines: log.lines };
  })
  .extend("startWorker", ({ makeWorker }, { onCleanup }) => {
    const started: StartedWorker[] = [];
    onCleanup(async () => {
      for (const { stop } of started) stop();
      await Promise.allSettled(started.map(({ done }) => done));
    });
    return (options: MadeWorker): StartedWorker => {
      const { worker, lines } = makeWorker(options);
      const signal = new AbortController();
      const done = worker.run({ signal: signal.signal });
      // A test that awaits `done` gets the error.
      done.catch(() => {});
      started.push({ worker, lines, done, stop: () => signal.abort() });
      return { worker, lines, done, stop: () => signal.abort() };
    };
  });

interface MadeWorker extends Partial<WorkerOptions> {
  workflows: readonly AnyWorkflow[];
}

/** A workflow of one step, pinned to `forge`. */
export const oneStep = (
  run: (context: StepContext) => Promise<StepReturn>,
  options: Omit<StepOptions<never>, "after"> = {},
): AnyWorkflow =>
  defineWorkflow({ name: "one-step" }).step("only", { host: "forge", ...options }, (context) =>
    run(context as StepContext),
  );

/** Starts a run of a workflow, and gives its id. */
export async function begin(queue: Queue, workflow: AnyWorkflow): Promise<string> {
  const { runId } = await queue.startRun(planRun(workflow));
  return runId;
}

/** Waits until the run is over, and gives it. */
export async function over(queue: Queue, runId: string) {
  await expect
    .poll(async () => (await queue.getRun(runId)).status, { timeout: 15_000, interval: 20 })
    .not.toBe("running");
  return queue.getRun(runId);
}

/** The run's only job. */
export async function jobOf(queue: Queue, runId: string) {
  const { jobs } = await queue.getRun(runId);
  const [job] = jobs;
  if (!job || jobs.length > 1) throw new Error(`expected one job, got ${jobs.length}`);
  return job;
}

/** The output of the run's only job, as the queue has it. */
export async function recordedIn(queue: Queue, runId: string): Promise<string> {
  const { id } = await jobOf(queue, runId);
  const { chunks } = await queue.readLog(id, { limit: 1_000 });
  return chunks.map(({ chunk }) => chunk).join("");
}

/** A promise that others resolve. */
export function deferred<Value = void>() {
  let resolve = (_: Value) => {};
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Rejects when the signal aborts, as fetch does: with an error of its own. */
export const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const abort = () => reject(new DOMException("This operation was aborted", "AbortError"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });

/** Names and facts of the settlements that reached the database, through a wrapped queue. */
export function recordSettles(queue: Queue) {
  const settled: { fence: number; outcome: string; answer: string | undefined }[] = [];
  const wrapped: Queue = {
    ...queue,
    async exchange(session, wishes) {
      const answer = await queue.exchange(session, wishes);
      for (const [index, { fence, outcome }] of wishes.settle?.entries() ?? []) {
        settled.push({ fence, outcome, answer: answer.settled[index]?.answer });
      }
      return answer;
    },
  };
  return { queue: wrapped, settled };
}

/** A queue whose exchanges are calls for each part, in the order of the exchange, so that a test can hold one of them. */
export const inParts = (queue: Queue): Queue => ({
  ...queue,
  async exchange(session, { claim, settle = [], renew, logs = [] }) {
    const { node } = session;
    const appended: AppendAnswer[] = [];
    for (const { id, fence, chunks } of logs) {
      appended.push(await queue.appendLog({ node, id, fence }, chunks));
    }
    const heartbeat = renew ? await queue.heartbeat(session) : undefined;
    const settled = settle.length > 0 ? await queue.settle(node, settle) : [];
    return {
      ...(heartbeat && { heartbeat }),
      settled,
      ...(claim && { claim: await queue.claim(session, claim) }),
      logs: appended,
    };
  },
});

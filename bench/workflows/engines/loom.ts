import { createQueue, type Queue } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { planRun } from "@loom/scheduler";
import { createInlineRunner, createWorker } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";
import { connectDirectly, connectToPostgrest } from "../../connect.ts";
import { quiet } from "../../quiet.ts";
import { CONNECTIONS, type Engine, type EngineKind, IN_FLIGHT, stepResult } from "../engine.ts";

/** @param prefetch - How many jobs the worker claims ahead of its slots; it then settles in batches. */
export const loomDirect = (prefetch: number): EngineKind => ({
  name: "Loom, direct",
  async open(database, onLastStep) {
    const { client, close } = connectDirectly(database, CONNECTIONS);
    return engine(createPostgresQueue({ sql: client }), { prefetch, onLastStep, close });
  },
});

export const loomRest = (prefetch: number): EngineKind => ({
  name: "Loom, PostgREST",
  async open(database, onLastStep) {
    const { client, close } = connectToPostgrest(database);
    return engine(createQueue({ client }), { prefetch, onLastStep, close });
  },
});

const NODE = "bench";

/** A run names its node, so no hub has to place it. The worker is woken as a hub would wake it. */
async function engine(
  queue: Queue,
  {
    prefetch,
    onLastStep,
    close,
  }: { prefetch: number; onLastStep: (run: number) => void; close: () => Promise<void> },
): Promise<Engine> {
  const workflow = defineWorkflow({ name: "three-steps", input: z.object({ run: z.int() }) })
    .step("one", {}, async ({ input }) => stepResult(input.run))
    .step("two", { after: ["one"] }, async ({ input }) => stepResult(input.run))
    .step("three", { after: ["two"] }, async ({ input }) => {
      onLastStep(input.run);
      return stepResult(input.run);
    });
  const worker = createWorker({
    node: { name: NODE, capabilities: [] },
    queue,
    workflows: [workflow],
    runner: createInlineRunner([workflow]),
    concurrency: IN_FLIGHT,
    prefetch,
    log: quiet,
  });
  const stop = new AbortController();
  const running = worker.run({ signal: stop.signal });
  return {
    async start(run) {
      const plan = planRun(workflow, { input: { run } });
      await queue.startRun({ ...plan, jobs: plan.jobs.map((job) => ({ ...job, host: NODE })) });
      worker.wake();
    },
    async durations() {
      const durations: (number | null)[] = [];
      let after: string | null = null;
      do {
        const page = await queue.listRuns({ limit: 200, ...(after !== null && { after }) });
        const taken = ({ createdAt, finishedAt }: (typeof page.runs)[number]) =>
          finishedAt === null ? null : finishedAt.getTime() - createdAt.getTime();
        durations.push(...page.runs.map(taken));
        after = page.next;
      } while (after !== null);
      return durations.reverse();
    },
    async close() {
      stop.abort();
      await running;
      await close();
    },
  };
}

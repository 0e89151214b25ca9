import { type ClusterInfo, copyDatabase } from "@loom/local-db";
import { createPostgresQueue } from "@loom/queue/postgres";
import { planRun } from "@loom/scheduler";
import { defineWorkflow, type RunPlan } from "@loom/workflow";
import { connectDirectly } from "../connect.ts";
import { type Cost, costOf } from "../cost.ts";
import { batches, inLoops, inputOf, LOOPS, seconds } from "./engine.ts";
import { openLoop, workOff } from "./engines/loom.ts";

/** What a step of a run costs over a direct connection. */
export interface RunCost {
  readonly shape: string;
  /** Starting the runs, four at a time. */
  readonly start: Cost;
  /** Claiming and settling their steps, 100 at a time. */
  readonly drain: Cost;
}

const BATCH = 100;

/** Measures one run of many steps that need nothing of each other, and as many runs of one step. */
export async function measureRuns(cluster: ClusterInfo, steps: number): Promise<RunCost[]> {
  const count = steps.toLocaleString("en-US");
  return [
    await measure(cluster, { shape: `one run of ${count} steps`, runs: 1, steps }),
    await measure(cluster, { shape: `${count} runs of one step`, runs: steps, steps: 1 }),
  ];
}

async function measure(
  cluster: ClusterInfo,
  { shape, runs, steps }: { shape: string; runs: number; steps: number },
): Promise<RunCost> {
  await using database = await copyDatabase(cluster);
  const { client, close } = connectDirectly(database, LOOPS);
  const queue = createPostgresQueue({ sql: client, timeoutMs: 60_000 });
  try {
    const start = await costOf(database, runs * steps, () =>
      seconds(async () => {
        for (const part of batches(runs, LOOPS)) {
          await Promise.all(part.map((run) => queue.startRun(planSteps(run, steps))));
        }
      }),
    );
    await database.sql`vacuum analyze`;
    const loops = await Promise.all(
      Array.from({ length: LOOPS }, (_, loop) => openLoop(queue, nameOf(loop))),
    );
    const drain = await costOf(database, runs * steps, () =>
      seconds(() =>
        inLoops(runs * steps, async (number) => {
          const loop = loops[number];
          return loop ? await workOff(queue, loop, BATCH) : 0;
        }),
      ),
    );
    return { shape, start, drain };
  } finally {
    await close();
  }
}

const nameOf = (index: number) => `node-${index % LOOPS}`;

/** Plans a run whose steps name their node, so that nothing has to be placed. */
function planSteps(run: number, steps: number): RunPlan {
  const workflow = defineWorkflow({ name: "bench" }).step("only", {}, async () => ({ ok: true }));
  const plan = planRun(workflow);
  const input = inputOf(run, { inputBytes: 60 });
  return {
    ...plan,
    input,
    rawInput: input,
    jobs: Array.from({ length: steps }, (_, index) =>
      plan.jobs.map((job) => ({ ...job, step: `step-${index}`, host: nameOf(run + index) })),
    ).flat(),
  };
}

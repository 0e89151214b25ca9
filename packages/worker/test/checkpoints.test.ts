import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import type { Queue } from "@loom/queue";
import { planRun } from "@loom/scheduler";
import { createProcessRunner, ownCode } from "@loom/worker";
import type { JsonValue, StepContext } from "@loom/workflow";
import { describe, expect } from "vitest";
import { makeFolders, planForAgent, startAgentProcess } from "./agent-process.ts";
import { begin, deferred, oneStep, over, test } from "./fixtures.ts";
import { keeping } from "./workflows/keeping.ts";

const MODULE = new URL("workflows/keeping.ts", import.meta.url).href;
const retry = { attempts: 2, backoff: "1ms" } as const;

const inProcesses = () => ({
  workflows: [keeping],
  runner: createProcessRunner({
    code: ownCode(new Map([[keeping.name, { url: MODULE }]])),
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
    execArgv: ["--conditions=@loom/source"],
  }),
});

/** Counts what reaches the database. */
function counting(queue: Queue) {
  const saved: string[] = [];
  const watched: Queue = {
    ...queue,
    async saveCheckpoint(claim, checkpoint) {
      saved.push(checkpoint.json);
      return queue.saveCheckpoint(claim, checkpoint);
    },
  };
  return { saved, queue: watched };
}

describe("a checkpoint", () => {
  test.for(["throw", "exit"])(
    "is there after the attempt's process: %s",
    async (end, { queue, startWorker }) => {
      startWorker(inProcesses());
      const { runId } = await queue.startRun(planRun(keeping, { input: { end } }));
      expect(await over(queue, runId)).toMatchObject({
        status: "succeeded",
        jobs: [{ attempt: 3, result: { pages: [1, 2, 3] } }],
      });
    },
  );

  test("is there after the agent was killed", async ({ queue, database }) => {
    const folders = makeFolders();
    const settings = {
      url: database.url,
      key: database.serviceKey,
      journal: folders.journal,
      leaseMs: 3_000,
      concurrency: 1,
    };
    const { runId } = await queue.startRun(
      planForAgent(keeping, { folder: folders.folder, end: "wait" }),
    );
    const killed = startAgentProcess(settings);
    await folders.stepStarted();
    killed.child.kill("SIGKILL");
    await killed.exited;
    folders.forgetStart();
    startAgentProcess(settings);
    // No attempt was spent: the step was lost with its agent.
    expect(await over(queue, runId)).toMatchObject({
      status: "succeeded",
      jobs: [{ attempt: 1, crashRestarts: 1, result: { pages: [1, 1] } }],
    });
    expect(existsSync(path.join(folders.folder, "started"))).toBe(false);
  }, 60_000);

  test("that comes fast is stored now and then, and the last one always", async ({
    queue,
    startWorker,
  }) => {
    const seen: unknown[] = [];
    const workflow = oneStep(
      async ({ checkpoint, checkpointed, attempt }) => {
        seen.push(checkpointed);
        if (attempt === 2) return null;
        for (let page = 0; page <= 5_000; page += 1) void checkpoint({ page });
        throw new Error("at page 5000");
      },
      { retry },
    );
    const { saved, queue: watched } = counting(queue);
    startWorker({ workflows: [workflow], queue: watched });
    expect(await over(queue, await begin(queue, workflow))).toMatchObject({ status: "succeeded" });
    expect(seen).toEqual([undefined, { page: 5_000 }]);
    expect(saved.length).toBeLessThanOrEqual(3);
  });

  test("is there when the promise resolves", async ({ queue, startWorker, database }) => {
    let stored: unknown;
    const workflow = oneStep(async ({ checkpoint }) => {
      await checkpoint({ page: 1 });
      await checkpoint({ page: 2 });
      [stored] = await database.sql`select value from public.loom_checkpoints`;
      return null;
    });
    startWorker({ workflows: [workflow] });
    await over(queue, await begin(queue, workflow));
    expect(stored).toEqual({ value: '{"page":2}' });
  });

  test("is refused when another attempt may have begun", async ({
    queue,
    startWorker,
    database,
  }) => {
    const started = deferred();
    const goOn = deferred();
    const error = deferred<unknown>();
    const workflow = oneStep(async ({ checkpoint, attempt }) => {
      if (attempt > 1) return null;
      started.resolve();
      await goOn.promise;
      await checkpoint("late").catch((cause: unknown) => error.resolve(cause));
      return null;
    });
    // So long that no heartbeat tells the worker before.
    startWorker({ workflows: [workflow], leaseMs: 600_000, heartbeatMs: 200_000 });
    const runId = await begin(queue, workflow);
    await started.promise;
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
    await queue.reap();
    goOn.resolve();
    expect(await error.promise).toMatchObject({
      code: "CHECKPOINT_REFUSED",
      message: expect.stringContaining("this attempt is over"),
    });
    await queue.cancelRun(runId);
  });

  test("after the step has ended is refused", async ({ queue, startWorker }) => {
    let late: StepContext["checkpoint"] | undefined;
    const workflow = oneStep(async ({ checkpoint }) => {
      late = checkpoint;
      return null;
    });
    startWorker({ workflows: [workflow] });
    await over(queue, await begin(queue, workflow));
    await expect(late?.("too late")).rejects.toMatchObject({
      code: "CHECKPOINT_REFUSED",
      message: expect.stringContaining("the step has ended"),
    });
  });

  const cycle: Record<string, unknown> = { name: "loop" };
  cycle.self = cycle;
  test.for([
    {
      title: "of 300 KiB",
      value: "x".repeat(300 * 1_024),
      says: "the checkpoint holds 307202 bytes as JSON, of at most 262144: store it elsewhere and keep a reference",
    },
    {
      title: "with a cycle",
      value: cycle,
      says: "the checkpoint's self cannot be kept: it contains itself; keep plain objects, arrays, texts and numbers",
    },
    {
      title: "that JSON drops",
      value: { at: undefined, seen: new Map() },
      says: "the checkpoint's seen cannot be kept",
    },
    { title: "undefined", value: undefined, says: "undefined is not JSON" },
  ])(
    "$title fails the step for good, awaited or not",
    async ({ value, says }, { queue, startWorker }) => {
      const workflow = oneStep(
        async ({ checkpoint }) => {
          void checkpoint(value as JsonValue);
          return "unreachable";
        },
        { retry },
      );
      startWorker({ workflows: [workflow] });
      expect(await over(queue, await begin(queue, workflow))).toMatchObject({
        status: "failed",
        jobs: [
          {
            attempt: 1,
            error: { code: "INVALID_CHECKPOINT", message: expect.stringContaining(says) },
          },
        ],
      });
    },
  );

  test("with a NUL and half of a pair comes back as it was", async ({ queue, startWorker }) => {
    const seen: unknown[] = [];
    const workflow = oneStep(
      async ({ checkpoint, checkpointed, attempt }) => {
        seen.push(checkpointed);
        if (attempt === 2) return null;
        await checkpoint("a\0b\ud83d");
        throw new Error("again");
      },
      { retry },
    );
    startWorker({ workflows: [workflow] });
    await over(queue, await begin(queue, workflow));
    expect(seen).toEqual([undefined, "a\0b\ud83d"]);
  });

  test("that does not fit the step's schema any more is not used", async ({
    queue,
    startWorker,
    database,
  }) => {
    startWorker(inProcesses());
    const folders = makeFolders();
    const plan = planRun(keeping, { input: { folder: folders.folder, end: "wait" } });
    const { runId } = await queue.startRun(plan);
    await folders.stepStarted();
    await database.sql`update public.loom_checkpoints set value = '{"sheets":[7]}'`;
    rmSync(path.join(folders.folder, "started"));
    // Together, because a heartbeat would renew the lease.
    await database.sql.begin(async (sql) => {
      await sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
      await sql`select public.loom_reap()`;
    });
    await folders.stepStarted();
    expect(readFileSync(path.join(folders.folder, "started"), "utf8")).toMatch(/^\d+$/);
    expect(await database.sql`select value from public.loom_checkpoints`).toMatchObject([
      { value: '{"pages":[1]}' },
    ]);
    await queue.cancelRun(runId);
  });
});

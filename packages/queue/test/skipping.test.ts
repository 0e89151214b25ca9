import { readFile } from "node:fs/promises";
import type { Queue, TakenCondition } from "@loom/queue";
import { claim, makePlan, sayHello } from "@loom/queue/testing";
import type { PlannedJob } from "@loom/workflow";
import { describe, expect } from "vitest";
import { postgresTest as test } from "./fixtures.ts";

type Steps = (Pick<PlannedJob, "step"> & Partial<PlannedJob>)[];

/** The steps that make one need end in the given way, once the step `trigger` has ended. */
interface Way {
  /** The first cell of its row in the table. */
  row: string;
  steps: (need: string) => Steps;
  trigger: (need: string) => string;
  outcome: "succeeded" | "failed" | "cancelled" | "skipped";
}

const itself = (need: string) => need;
const before = (need: string) => `${need}-before`;
const onForge = { host: "forge" };

const WAYS: readonly Way[] = [
  {
    row: "succeeded",
    steps: (step) => [{ step, ...onForge }],
    trigger: itself,
    outcome: "succeeded",
  },
  { row: "failed", steps: (step) => [{ step, ...onForge }], trigger: itself, outcome: "failed" },
  {
    row: "failed, and is optional",
    steps: (step) => [{ step, ...onForge, optional: true }],
    trigger: itself,
    outcome: "failed",
  },
  {
    row: "was cancelled",
    steps: (step) => [{ step, ...onForge }],
    trigger: itself,
    outcome: "cancelled",
  },
  {
    row: "was skipped: need_failed",
    steps: (step) => [
      { step: before(step), ...onForge },
      { step, after: [before(step)] },
    ],
    trigger: before,
    outcome: "failed",
  },
  {
    row: "was skipped: need_skipped",
    steps: (step) => [
      { step: before(step), ...onForge },
      { step: `${step}-between`, after: [before(step)], runsAfter: "failure", skip: "cascade" },
      { step, after: [`${step}-between`] },
    ],
    trigger: before,
    outcome: "succeeded",
  },
  {
    row: "was skipped: nothing_failed",
    steps: (step) => [
      { step: before(step), ...onForge },
      { step, after: [before(step)], runsAfter: "failure" },
    ],
    trigger: before,
    outcome: "succeeded",
  },
  {
    row: "was skipped: nothing_failed, with cascade",
    steps: (step) => [
      { step: before(step), ...onForge },
      { step, after: [before(step)], runsAfter: "failure", skip: "cascade" },
    ],
    trigger: before,
    outcome: "succeeded",
  },
  {
    row: "was skipped: condition",
    steps: (step) => [{ step, ...onForge, hasCondition: true }],
    trigger: itself,
    outcome: "skipped",
  },
  {
    row: "was skipped: condition, with cascade",
    steps: (step) => [{ step, ...onForge, hasCondition: true, skip: "cascade" }],
    trigger: itself,
    outcome: "skipped",
  },
];

const RULES = ["success", "failure", "always"] as const;
const COUNTS = ["passed", "skipped", "failed"];

/** The table of docs/forms.md: how a need counts, and what becomes of a step by its rule. */
async function readTable() {
  const page = await readFile(new URL("../../../docs/forms.md", import.meta.url), "utf8");
  const lines = page.slice(page.indexOf("| the need")).split("\n\n", 1)[0]?.split("\n") ?? [];
  return new Map(
    lines.slice(2).map((line) => {
      const [row = "", counts = "", ...fates] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.replaceAll("`", "").trim());
      return [
        row,
        { counts, fates: Object.fromEntries(RULES.map((rule, at) => [rule, fates[at]])) },
      ];
    }),
  );
}

/** Takes every condition. */
async function takeAll(queue: Queue): Promise<TakenCondition[]> {
  const all: TakenCondition[] = [];
  for (;;) {
    const taken = await queue.takeConditions({ limit: 100 });
    if (taken.length === 0) return all;
    all.push(...taken);
  }
}

describe("a step with two needs", () => {
  // 100 runs of two needs and three steps each. One variant ends the needs one after the other, so that each pair of
  // ways comes in both orders; the other one ends them all in one call.
  test.for([
    { title: "one after the other", together: false },
    { title: "in one call", together: true },
  ])("does what the table says when they end $title", async ({ together }, { queue, sql }) => {
    const table = await readTable();
    expect([...table.keys()].sort()).toEqual(WAYS.map(({ row }) => row).sort());

    const pairs = WAYS.flatMap((a) => WAYS.map((b) => ({ a, b })));
    const runs = await Promise.all(
      pairs.map(async ({ a, b }) => {
        const steps: Steps = [
          ...a.steps("a"),
          ...b.steps("b"),
          ...RULES.map((runsAfter) => ({ step: runsAfter, after: ["a", "b"], runsAfter })),
        ];
        return (await queue.startRun(makePlan(steps))).runId;
      }),
    );
    const session = await sayHello(queue, "forge", { slots: 500 });
    const claimed = await claim(queue, session, { limit: 500 });
    const suspended = await takeAll(queue);
    const runOf = new Map(
      (
        await sql<
          { id: number; run: string }[]
        >`select id::int, run_id as run from public.loom_jobs`
      ).map(({ id, run }) => [id, run]),
    );
    const jobs = new Map(
      [...claimed, ...suspended].map((job) => [`${runOf.get(job.id)} ${job.step}`, job]),
    );
    const end = async (needs: readonly ("a" | "b")[]) => {
      const ends = pairs.flatMap((pair, at) =>
        needs.map((need) => {
          const job = jobs.get(`${runs[at]} ${pair[need].trigger(need)}`);
          if (!job) throw new Error("every trigger was claimed");
          return { job, outcome: pair[need].outcome };
        }),
      );
      await queue.cancel(
        ends.flatMap(({ job, outcome }) => (outcome === "cancelled" ? [job.id] : [])),
      );
      const skipped = ends.filter(({ outcome }) => outcome === "skipped");
      for (let at = 0; at < skipped.length; at += 100) {
        await queue.recordConditions(
          skipped
            .slice(at, at + 100)
            .map(({ job: { id, fence } }) => ({ id, fence, outcome: "skips" })),
        );
      }
      const settled = ends.filter(({ outcome }) => outcome !== "skipped");
      await queue.settle(
        "forge",
        settled.map(({ job: { id, fence }, outcome }) =>
          outcome === "succeeded"
            ? { id, fence, outcome, result: null }
            : { id, fence, outcome: "failed", error: null, retryable: false },
        ),
      );
    };
    if (together) await end(["a", "b"]);
    else {
      await end(["a"]);
      expect(await queue.verify()).toEqual([]);
      await end(["b"]);
    }

    const found = await sql<{ run: string; step: string; fate: string }[]>`
      select run_id as run, step_id as step, coalesce(skip_reason, state::text) as fate
        from public.loom_jobs where step_id = any(${RULES as unknown as string[]}) order by id`;
    const actual = found.map(({ run, step, fate }) => {
      const { a, b } = pairs[runs.indexOf(run)] ?? {};
      return `${a?.row} / ${b?.row} / ${step}: ${fate === "waiting" ? "runs" : fate}`;
    });
    const expected = pairs.flatMap(({ a, b }) =>
      RULES.map((rule) => {
        const [worst] = [a, b]
          .map(({ row }) => table.get(row))
          .sort(
            (one, other) => COUNTS.indexOf(other?.counts ?? "") - COUNTS.indexOf(one?.counts ?? ""),
          );
        return `${a.row} / ${b.row} / ${rule}: ${worst?.fates[rule]}`;
      }),
    );
    expect(actual.toSorted()).toEqual(expected.toSorted());
    expect(await queue.verify()).toEqual([]);
  });

  test("gives only the results of the needs that succeeded", async ({ queue }) => {
    await queue.startRun(
      makePlan([
        { step: "good", ...onForge },
        { step: "bad", ...onForge },
        { step: "clean", after: ["good", "bad"], runsAfter: "always", ...onForge },
      ]),
    );
    const session = await sayHello(queue, "forge");
    const first = await claim(queue, session);
    await queue.settle(
      "forge",
      first.map(({ id, fence, step }) =>
        step === "good"
          ? { id, fence, outcome: "succeeded", result: 1 }
          : { id, fence, outcome: "failed", error: null },
      ),
    );
    expect(await claim(queue, session, { seq: 2 })).toMatchObject([
      { step: "clean", results: { good: 1 } },
    ]);
  });

  test("fails a run although the step after the failure succeeds, and passes an optional failure", async ({
    queue,
  }) => {
    const start = async (optional: boolean) => {
      const steps = [
        { step: "bad", optional, ...onForge },
        { step: "undo", after: ["bad"], runsAfter: "always" as const, ...onForge },
      ];
      return (await queue.startRun(makePlan(steps))).runId;
    };
    const runs = [await start(false), await start(true)];
    const session = await sayHello(queue, "forge");
    const bad = await claim(queue, session);
    await queue.settle(
      "forge",
      bad.map(({ id, fence }) => ({ id, fence, outcome: "failed", error: null })),
    );
    const undo = await claim(queue, session, { seq: 2 });
    await queue.settle(
      "forge",
      undo.map(({ id, fence }) => ({ id, fence, outcome: "succeeded", result: null })),
    );
    const statuses = await Promise.all(runs.map(async (run) => (await queue.getRun(run)).status));
    expect(statuses).toEqual(["failed", "succeeded"]);
    expect(await queue.verify()).toEqual([]);
  });
});

test("names the step that failed a run, and no optional one, in the summary", async ({ queue }) => {
  await queue.startRun(
    makePlan([
      { step: "lint", optional: true, ...onForge },
      { step: "ship", after: ["lint"], ...onForge },
    ]),
  );
  const session = await sayHello(queue, "forge");
  for (const seq of [1, 2]) {
    const jobs = await claim(queue, session, { seq });
    await queue.settle(
      "forge",
      jobs.map(({ id, fence }) => ({ id, fence, outcome: "failed", error: null })),
    );
  }
  const { failures } = await queue.summarize(3_600_000);
  expect(failures).toMatchObject([{ step: "ship" }]);
});

describe("a chain of ten thousand steps", () => {
  // One that is skipped step by step takes minutes.
  test.for([
    { title: "a failure", first: {}, outcome: "failed" as const, reason: "need_failed" },
    {
      title: "a skip that cascades",
      first: { runsAfter: "failure" as const, skip: "cascade" as const },
      outcome: "succeeded" as const,
      reason: "need_skipped",
    },
  ])("is skipped at once after $title", async ({ first, outcome, reason }, { queue, sql }) => {
    const steps: Steps = [
      { step: "start", ...onForge },
      { step: "s-0", after: ["start"], ...first },
      ...Array.from({ length: 9_998 }, (_, at) => ({ step: `s-${at + 1}`, after: [`s-${at}`] })),
    ];
    const { runId } = await queue.startRun(makePlan(steps));
    const [job] = await claim(queue, await sayHello(queue, "forge"));
    const startedAt = performance.now();
    await queue.settle("forge", [
      { id: job?.id ?? 0, fence: 1, outcome, result: null, error: null } as never,
    ]);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect(
      await sql`select skip_reason, count(*)::int from public.loom_jobs
                 where run_id = ${runId} and step_id <> 's-0' and skip_reason is not null group by 1`,
    ).toEqual([{ skip_reason: reason, count: 9_998 }]);
  });
});

describe("retrying a failed run", () => {
  test("takes over what was skipped without a failure, and optional failures", async ({
    queue,
  }) => {
    const { runId } = await queue.startRun(
      makePlan([
        { step: "lint", optional: true, ...onForge },
        { step: "build", ...onForge },
        { step: "undo-build", after: ["build"], runsAfter: "failure" },
        { step: "pack", after: ["lint", "build", "undo-build"], ...onForge },
        { step: "ship", after: ["pack"], ...onForge },
        { step: "undo-ship", after: ["ship"], runsAfter: "failure", ...onForge },
      ]),
    );
    const session = await sayHello(queue, "forge");
    const settle = async (seq: number, bad: readonly string[]) => {
      const jobs = await claim(queue, session, { seq });
      await queue.settle(
        "forge",
        jobs.map(({ id, fence, step }) =>
          bad.includes(step)
            ? { id, fence, outcome: "failed", error: { message: step } }
            : { id, fence, outcome: "succeeded", result: step },
        ),
      );
    };
    await settle(1, ["lint"]);
    await settle(2, []);
    await settle(3, ["ship"]);
    await settle(4, []);
    expect((await queue.getRun(runId)).status).toBe("failed");

    const retried = await queue.retryRun(runId, { mode: "failed" });
    expect(await queue.getRun(retried.runId)).toMatchObject({
      status: "running",
      jobs: [
        { step: "lint", state: "failed", error: { message: "lint" } },
        { step: "build", state: "succeeded", result: "build" },
        { step: "undo-build", state: "skipped", skipReason: "nothing_failed" },
        { step: "pack", state: "succeeded" },
        { step: "ship", state: "pending" },
        { step: "undo-ship", state: "blocked" },
      ],
    });
    expect(await queue.verify()).toEqual([]);
    await settle(5, []);
    expect(await queue.getRun(retried.runId)).toMatchObject({
      status: "succeeded",
      jobs: expect.arrayContaining([
        expect.objectContaining({ step: "undo-ship", skipReason: "nothing_failed" }),
      ]),
    });
    expect(await queue.verify()).toEqual([]);
  });
});

import { defineWorkflow, InvalidInputError } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { PlanError, planRun } from "./plan-run.ts";

const done = async () => {};
const deploy = defineWorkflow({
  name: "deploy",
  input: z.object({ ref: z.string().default("main"), host: z.string().optional() }),
  requires: ["linux", "docker"],
});

describe("planRun", () => {
  test("plans the jobs of a run, in the order of definition", () => {
    const workflow = deploy
      .step(
        "build",
        { requires: ["ssd", "docker"], timeout: "15m", startWithin: "1m", priority: 5 },
        done,
      )
      .step(
        "restart",
        {
          after: ["build"],
          host: "popos",
          retry: { attempts: 3, backoff: "30s" },
          maxCrashRestarts: 1,
          concurrency: ({ input }) => ({ key: `deploy:${input.ref}`, limit: 2 }),
        },
        done,
      );
    expect(planRun(workflow, { input: { ref: "next" } })).toEqual({
      workflow: "deploy",
      version: workflow.version,
      input: { ref: "next" },
      rawInput: { ref: "next" },
      jobs: [
        {
          step: "build",
          after: [],
          requires: ["docker", "linux", "ssd", `workflow:deploy@${workflow.version}`],
          host: null,
          prefers: [],
          priority: 5,
          timeoutMs: 900_000,
          retry: {
            attempts: 1,
            backoff: { kind: "exponential", delayMs: 1_000, maxDelayMs: 300_000 },
          },
          maxCrashRestarts: 3,
          startWithinMs: 60_000,
          concurrency: null,
          runsAfter: "success",
          optional: false,
          skip: "pass",
          hasCondition: false,
        },
        {
          step: "restart",
          after: ["build"],
          requires: ["docker", "linux", `workflow:deploy@${workflow.version}`],
          host: "popos",
          prefers: [],
          priority: 100,
          timeoutMs: 600_000,
          retry: {
            attempts: 3,
            backoff: { kind: "fixed", delayMs: 30_000, maxDelayMs: 30_000 },
          },
          maxCrashRestarts: 1,
          startWithinMs: null,
          concurrency: { key: "deploy:next", limit: 2 },
          runsAfter: "success",
          optional: false,
          skip: "pass",
          hasCondition: false,
        },
      ],
    });
  });

  test("sets no limit if the author's function returns none, and refuses an invalid limit", () => {
    const free = deploy.step("build", { concurrency: () => undefined }, done);
    expect(planRun(free).jobs[0]?.concurrency).toBeNull();
    const invalid = deploy.step("build", { concurrency: () => ({ key: "", limit: 1 }) }, done);
    expect(() => planRun(invalid)).toThrow(/step build cannot be planned: concurrency takes a key/);
  });

  test("stays equal after JSON", () => {
    const plan = planRun(deploy.step("build", { host: () => undefined }, done));
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test("fills in the defaults of a missing input", () => {
    expect(planRun(deploy.step("build", {}, done)).input).toEqual({ ref: "main" });
  });

  test("calls host and prefers with the parsed input", () => {
    const workflow = deploy.step(
      "restart",
      {
        host: ({ input }) => input.host,
        prefers: ({ input }) => [{ clause: `branch=${input.ref}`, weight: 2 }],
      },
      done,
    );
    expect(planRun(workflow, { input: { host: "popos" } }).jobs).toMatchObject([
      { host: "popos", prefers: [{ clause: "branch=main", weight: 2 }] },
    ]);
    expect(planRun(workflow).jobs).toMatchObject([{ host: null }]);
  });

  test("writes every clause in its one form", () => {
    const requires = ["cpus >= 8", "os in(linux)", "cpus>=8"];
    const [job] = planRun(
      defineWorkflow({ name: "deploy" }).step("build", { requires }, done),
    ).jobs;
    expect(job?.requires.slice(0, 2)).toEqual(["cpus>=8", "os in (linux)"]);
    expect(job?.requires).toHaveLength(3);
  });

  test("prefers the hinted node above everything else", () => {
    const prefers = [
      { clause: "ssd", weight: 2 },
      { clause: "docker", weight: 3 },
    ];
    const workflow = deploy.step("build", { prefers, hostHint: () => "nas" }, done);
    expect(planRun(workflow).jobs).toMatchObject([
      { host: null, prefers: [{ clause: "node=nas", weight: 6 }, ...prefers] },
    ]);
  });

  test("prefers the default host for a step that neither requires nor prefers anything", () => {
    const workflow = defineWorkflow({ name: "deploy" })
      .step("anywhere", {}, done)
      .step("pinned", { host: "popos" }, done)
      .step("hinted", { hostHint: "popos" }, done)
      .step("choosy", { requires: ["docker"] }, done)
      .step("wishful", { prefers: [{ clause: "ssd", weight: 1 }] }, done);
    const { jobs } = planRun(workflow, { defaultHost: "oracle" });
    expect(jobs.map(({ prefers }) => prefers.map(({ clause }) => clause))).toEqual([
      ["node=oracle"],
      [],
      ["node=popos"],
      [],
      ["ssd"],
    ]);
  });

  test("refuses an input that does not fit, with its paths", () => {
    const workflow = deploy.step("build", {}, done);
    // @ts-expect-error: the compiler knows it too
    const plan = () => planRun(workflow, { input: { ref: 7 } });
    expect(plan).toThrow(InvalidInputError);
    expect(plan).toThrow(
      expect.objectContaining({ issues: [expect.objectContaining({ path: "ref" })] }),
    );
  });

  test("refuses a workflow without steps", () => {
    expect(() => planRun(deploy)).toThrow("workflow deploy cannot be planned: it has no steps");
  });

  test.for([
    { title: "a host that is empty", options: { host: () => "" }, problem: "host is empty" },
    {
      title: "a host with a space",
      options: { host: () => "pop os" },
      problem: 'host "pop os" is not a node name',
    },
    {
      title: "a hint with a space",
      options: { hostHint: () => "pop os" },
      problem: 'hostHint "pop os" is not a node name',
    },
    {
      title: "a preference that cannot be read",
      options: { prefers: () => [{ clause: "a b", weight: 1 }] },
      problem: '"a b" is not a clause',
    },
    {
      title: "a preference without weight",
      options: { prefers: () => [{ clause: "ssd", weight: Number.NaN }] },
      problem: "weight",
    },
  ])("refuses $title, naming the step", ({ options, problem }) => {
    expect(() => planRun(deploy.step("build", options, done))).toThrow(
      expect.objectContaining({
        code: "PLAN_FAILED",
        workflow: "deploy",
        step: "build",
        message: expect.stringContaining(problem),
      }),
    );
  });

  test("names the step whose host function throws, and keeps the cause", () => {
    const cause = new Error("no such site");
    const workflow = deploy.step("build", {}, done).step(
      "restart",
      {
        host: () => {
          throw cause;
        },
      },
      done,
    );
    expect(() => planRun(workflow)).toThrow(PlanError);
    expect(() => planRun(workflow)).toThrow(expect.objectContaining({ step: "restart", cause }));
  });

  test.for<{ title: string; options: object; problem: string }>([
    {
      title: "a host that is a promise",
      options: { host: async () => "forge" },
      problem: "host returned a promise",
    },
    {
      title: "a promise that rejects, without an unhandled rejection",
      options: { host: () => Promise.reject(new Error("nobody catches it")) },
      problem: "host returned a promise",
    },
    { title: "a host that is a number", options: { host: () => 5 }, problem: "host is a number" },
    {
      title: "preferences that are not a list",
      options: { prefers: () => ({ clause: "ssd", weight: 1 }) },
      problem: "prefers is not a list",
    },
  ])("refuses $title, despite its type", ({ options, problem }) => {
    expect(() => planRun(deploy.step("build", options, done))).toThrow(
      expect.objectContaining({ step: "build", message: expect.stringContaining(problem) }),
    );
  });

  test.for<{ title: string; input: z.ZodType; problem: string }>([
    {
      title: "throws",
      input: z.object({}).refine(() => {
        throw new Error("no dictionary");
      }),
      problem: "its input schema failed: no dictionary",
    },
    {
      title: "returns a promise",
      input: z.object({}).refine(() => new Promise(() => {})),
      problem: "its input schema returns a promise",
    },
    {
      title: "makes a Date of a text",
      input: z.object({
        at: z
          .string()
          .default("2026-11-29")
          .transform((at) => new Date(at)),
      }),
      problem: "of the input at at that cannot be kept: a Date is not JSON",
    },
    {
      title: "makes Infinity of a number",
      input: z.object({ list: z.array(z.number()).default([1, 2]) }).transform(({ list }) => ({
        list: list.map((each) => each / (each - 2)),
      })),
      problem: "of the input at list[1] that cannot be kept: Infinity is not a number of JSON",
    },
    {
      title: "makes a Map",
      input: z.object({}).transform(() => new Map([[1, 2]])),
      problem: "of the input that cannot be kept: a Map is not JSON",
    },
    {
      title: "makes a circle",
      input: z.object({}).transform(() => {
        const circle: { self?: object } = {};
        circle.self = circle;
        return circle;
      }),
      problem: "at self that cannot be kept: it contains itself",
    },
  ])("blames the workflow when its schema $title", ({ input, problem }) => {
    const workflow = defineWorkflow({ name: "invalid", input: input as z.ZodType<string> }).step(
      "only",
      {},
      done,
    );
    expect(() => planRun(workflow)).toThrow(
      expect.objectContaining({
        code: "PLAN_FAILED",
        step: null,
        message: expect.stringContaining(problem),
      }),
    );
  });

  test("reports each of the author's functions before it is called", () => {
    const workflow = deploy
      .step("build", { host: () => "forge" }, done)
      .step("test", { prefers: () => [], concurrency: () => undefined, hostHint: () => "x" }, done);
    const calls: string[] = [];
    planRun(workflow, { onCall: (call) => calls.push(`${call.step}.${call.function}`) });
    expect(calls).toEqual([
      "null.input",
      "build.host",
      "test.prefers",
      "test.hostHint",
      "test.concurrency",
    ]);
  });
});

import { describe, expect, test } from "vitest";
import { z } from "zod";
import { defineWorkflow } from "./define-workflow.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import { cron } from "./schedule.ts";
import type { StepOptions } from "./step.ts";

const done = async () => {};

/** A step as a caller without types could write it. */
const stepOf = (options: object, name = "build") =>
  defineWorkflow({ name: "deploy" }).step(name, options as StepOptions<never>, done);

describe("defineWorkflow", () => {
  test("returns a workflow without steps, with nothing required", () => {
    expect(defineWorkflow({ name: "deploy" })).toMatchObject({
      name: "deploy",
      requires: [],
      schedule: null,
      steps: [],
    });
  });

  test("takes no input unless a schema says so", () => {
    const { input } = defineWorkflow({ name: "deploy" });
    expect(input.safeParse({}).success).toBe(true);
    expect(input.safeParse({ ref: "main" }).success).toBe(false);
  });

  test.for(["", "-deploy", "Deploy", "de ploy", "de_ploy", "a".repeat(64)])(
    "refuses the name %j",
    (name) => {
      expect(() => defineWorkflow({ name })).toThrow(WorkflowDefinitionError);
    },
  );

  test("refuses a requirement that cannot be read, and says what was meant", () => {
    expect(() => defineWorkflow({ name: "deploy", requires: ["has gpu"] })).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        message: expect.stringContaining('did you mean "has-gpu"?'),
        cause: expect.objectContaining({ code: "INVALID_CLAUSE", position: 4 }),
      }),
    );
  });

  test("refuses a schedule whose input does not fit", () => {
    const input = z.object({ url: z.url() });
    const schedule = cron("@daily", { input: { url: "nonsense" } });
    expect(() => defineWorkflow({ name: "deploy", input, schedule })).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        workflow: "deploy",
        step: null,
        message: expect.stringContaining("url: Invalid URL"),
      }),
    );
  });
});

describe("step", () => {
  test("fills in every default", () => {
    expect(stepOf({}).steps).toEqual([
      {
        name: "build",
        after: [],
        requires: [],
        host: null,
        hostHint: null,
        prefers: [],
        timeoutMs: 600_000,
        retry: {
          attempts: 1,
          backoff: { kind: "exponential", delayMs: 1_000, maxDelayMs: 300_000 },
        },
        maxCrashRestarts: 3,
        startWithinMs: null,
        concurrency: null,
        priority: 100,
        run: done,
      },
    ]);
  });

  test("keeps what the author said", () => {
    const host = () => "popos";
    const options = {
      requires: ["docker"],
      host,
      prefers: [{ clause: "ssd", weight: 2 }],
      timeout: "90s",
      retry: { attempts: 3, backoff: "30s" },
      maxCrashRestarts: 0,
      startWithin: "1h",
      concurrency: { key: "deploy:popos", limit: 1 },
      priority: 0,
    } as const;
    expect(stepOf(options).steps[0]).toMatchObject({
      requires: ["docker"],
      host,
      prefers: [{ clause: "ssd", weight: 2 }],
      timeoutMs: 90_000,
      retry: { attempts: 3, backoff: { kind: "fixed", delayMs: 30_000 } },
      maxCrashRestarts: 0,
      startWithinMs: 3_600_000,
      concurrency: { key: "deploy:popos", limit: 1 },
      priority: 0,
    });
  });

  test("leaves the workflow it is added to as it was", () => {
    const empty = defineWorkflow({ name: "deploy" });
    const built = empty.step("build", {}, done);
    const left = built.step("left", { after: ["build"] }, done);
    const right = built.step("right", { after: ["build"] }, done);
    const names = [empty, built, left, right].map(({ steps }) => steps.map(({ name }) => name));
    expect(names).toEqual([[], ["build"], ["build", "left"], ["build", "right"]]);
  });

  test("is not changed by what happens to the author's arrays later", () => {
    const requires = ["docker"];
    const workflow = stepOf({ requires });
    requires.push("gpu");
    expect(workflow.steps[0]?.requires).toEqual(["docker"]);
  });

  test("waits once for a step that is named twice", () => {
    const built = stepOf({}).step("ship", { after: ["build", "build"] }, done);
    expect(built.steps[1]?.after).toEqual(["build"]);
  });

  test.for([
    { title: "a timeout of nothing", options: { timeout: "0s" }, problem: "above 0" },
    { title: "a timeout without unit", options: { timeout: "10" }, problem: "not a duration" },
    { title: "a step that is not there", options: { after: ["x"] }, problem: "no earlier step" },
    { title: "no attempts", options: { retry: { attempts: 0 } }, problem: "retry.attempts" },
    { title: "an empty clause", options: { requires: [""] }, problem: "expected a name" },
    { title: "an empty host", options: { host: "" }, problem: "host is empty" },
    { title: "a host with a space", options: { host: "pop os" }, problem: "no name of a node" },
    { title: "an empty hint", options: { hostHint: "" }, problem: "hostHint is empty" },
    {
      title: "a host and a hint",
      options: { host: "popos", hostHint: "nas" },
      problem: "says nothing",
    },
    {
      title: "a preference without weight",
      options: { prefers: [{ clause: "ssd", weight: 0 }] },
      problem: "must be above 0",
    },
    {
      title: "a preference for nothing",
      options: { prefers: [{ clause: "", weight: 1 }] },
      problem: "expected a name",
    },
    { title: "101 restarts", options: { maxCrashRestarts: 101 }, problem: "from 0 to 100" },
    { title: "no time to start", options: { startWithin: "0s" }, problem: "startWithin must be" },
    {
      title: "a limit without a key",
      options: { concurrency: { key: "", limit: 1 } },
      problem: "a key of 1 to 200",
    },
    {
      title: "a limit of nothing",
      options: { concurrency: { key: "gpu", limit: 0 } },
      problem: "a limit from 1 to 10000",
    },
    { title: "a negative priority", options: { priority: -1 }, problem: "from 0 to 1000" },
    { title: "a broken priority", options: { priority: 1.5 }, problem: "from 0 to 1000" },
    { title: "a priority beyond the last", options: { priority: 1_001 }, problem: "0 to 1000" },
  ])("refuses $title, and says where", ({ options, problem }) => {
    expect(() => stepOf(options)).toThrow(
      expect.objectContaining({
        name: "WorkflowDefinitionError",
        workflow: "deploy",
        step: "build",
        message: expect.stringMatching(`^workflow deploy, step build: .*${problem}`),
      }),
    );
  });

  test("refuses a bad name", () => {
    expect(() => stepOf({}, "Build it")).toThrow("is not a name");
  });

  test("refuses a name that is taken", () => {
    expect(() => stepOf({}).step("build", {}, done)).toThrow("a step with this name exists");
  });

  test("refuses a step without a run function", () => {
    const workflow = defineWorkflow({ name: "deploy" });
    // @ts-expect-error: the compiler knows it too
    expect(() => workflow.step("build", {})).toThrow("run function is missing");
  });
});

describe("version", () => {
  const versionOf = (options: object, run: () => Promise<void> = done) =>
    defineWorkflow({ name: "deploy" }).step("build", options as StepOptions<never>, run).version;

  test("is twelve hex digits, the same each time", () => {
    expect(versionOf({ requires: ["a"] })).toMatch(/^[0-9a-f]{12}$/);
    expect(versionOf({ requires: ["a"] })).toBe(versionOf({ requires: ["a"] }));
  });

  test("does not depend on the order in which options are written", () => {
    expect(versionOf({ timeout: "1m", priority: 1 })).toBe(
      versionOf({ priority: 1, timeout: "1m" }),
    );
  });

  test("differs with every part of a definition", () => {
    const versions = [
      defineWorkflow({ name: "deploy" }).version,
      defineWorkflow({ name: "other" }).version,
      defineWorkflow({ name: "deploy", requires: ["a"] }).version,
      defineWorkflow({ name: "deploy", schedule: cron("@daily") }).version,
      versionOf({}),
      versionOf({ requires: ["a"] }),
      versionOf({ host: "popos" }),
      versionOf({ host: () => "popos" }),
      versionOf({ host: () => "forge" }),
      versionOf({ prefers: [{ clause: "a", weight: 1 }] }),
      versionOf({ timeout: "1m" }),
      versionOf({ retry: { attempts: 2 } }),
      versionOf({ priority: 1 }),
      versionOf({}, async () => void "something else"),
    ];
    expect(new Set(versions).size).toBe(versions.length);
  });
});

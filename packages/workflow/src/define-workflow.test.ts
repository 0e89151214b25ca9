import { describe, expect, test } from "vitest";
import { z } from "zod";
import { defineWorkflow } from "./define-workflow.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import { toManifest } from "./manifest.ts";
import { cron } from "./schedule/schedule.ts";
import type { StepOptions } from "./step.ts";

const done = async () => {};

/** Defines a step as a caller without types could write it. */
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

  test.for([
    { retention: "7d", kept: { succeededMs: 604_800_000, failedMs: 604_800_000 } },
    {
      retention: { succeeded: "3d", failed: "90d" },
      kept: { succeededMs: 259_200_000, failedMs: 7_776_000_000 },
    },
    { retention: { failed: "1h" }, kept: { succeededMs: null, failedMs: 3_600_000 } },
    { retention: undefined, kept: null },
  ] as const)("keeps runs for $retention", ({ retention, kept }) => {
    const workflow = defineWorkflow({ name: "deploy", ...(retention && { retention }) });
    expect(workflow.retention).toEqual(kept);
    expect(toManifest(workflow).retention).toEqual(kept);
  });

  test.for([
    { retention: "0d", says: 'retention is from "1h" to "36500d", not "0d"' },
    { retention: "59m", says: 'retention is from "1h" to "36500d", not "59m"' },
    { retention: { failed: "36501d" }, says: 'retention.failed is from "1h" to "36500d"' },
    { retention: { succeeded: "3 days" }, says: 'retention.succeeded: "3 days" is not a duration' },
    { retention: { succeeded: 3 }, says: "retention.succeeded: 3 is not a duration" },
    { retention: {}, says: "retention is empty" },
    { retention: null, says: 'retention is a duration such as "30d"' },
    { retention: 30, says: 'retention is a duration such as "30d"' },
    { retention: { cancelled: "1d" }, says: "and no cancelled" },
  ])("refuses to keep runs for $retention", ({ retention, says }) => {
    expect(() => defineWorkflow({ name: "deploy", retention: retention as "1d" })).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        message: expect.stringContaining(says),
      }),
    );
  });

  test("says who is notified of what, and keeps its version", () => {
    const notify = { "run.failed": "ops", "approval.asked": ["ops", "me", "ops"] };
    const workflow = defineWorkflow({ name: "deploy", notify });
    const said = { "run.failed": ["ops"], "approval.asked": ["ops", "me"] };
    expect(workflow.notify).toEqual(said);
    expect(toManifest(workflow).notify).toEqual(said);
    expect(workflow.version).toBe(defineWorkflow({ name: "deploy" }).version);
    expect(defineWorkflow({ name: "deploy" }).notify).toBeNull();
  });

  test("refuses the manifest of a copy that notifies as no definition may", () => {
    const workflow = defineWorkflow({ name: "deploy" });
    const copy = (notify: object) => toManifest({ ...workflow, notify: notify as never });
    expect(copy({ "run.failed": "ops" }).notify).toEqual({ "run.failed": ["ops"] });
    expect(() => copy({ "run.failed": "x".repeat(64) })).toThrow(
      expect.objectContaining({ code: "WORKFLOW_DEFINITION", workflow: "deploy" }),
    );
  });

  test.for([
    {
      notify: { failed: "ops" },
      says: 'notify: there is no rule "failed"; there are run.failed, ',
    },
    { notify: { "node.lost": "ops" }, says: "node.lost concerns no workflow" },
    { notify: { "run.failed": [] }, says: "notify of run.failed names 1 to 10 hooks, not 0" },
    { notify: { "run.failed": Array(11).fill("a") }, says: "names 1 to 10 hooks, not 11" },
    { notify: { "run.failed": "No such name" }, says: 'not "No such name"' },
    { notify: { "run.failed": 7 }, says: "not 7" },
    { notify: "ops", says: "notify has hooks by rule" },
    { notify: null, says: "notify has hooks by rule" },
    { notify: ["ops"], says: "notify has hooks by rule" },
  ])("refuses to notify as $notify", ({ notify, says }) => {
    expect(() =>
      defineWorkflow({ name: "deploy", notify: notify as { "run.failed": string } }),
    ).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        message: expect.stringContaining(says),
      }),
    );
  });

  test("refuses an invalid requirement, and suggests a valid one", () => {
    expect(() => defineWorkflow({ name: "deploy", requires: ["has gpu"] })).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        message: expect.stringContaining('did you mean "has-gpu"?'),
        cause: expect.objectContaining({ code: "INVALID_CLAUSE", position: 4 }),
      }),
    );
  });

  test.for([
    [[], { requires: ["cpus>=8", "has-gpu", "cpus<4"] }, "cpus>=8 and cpus<4"],
    [["os=linux"], { requires: ["os in (darwin, win32)"] }, "os=linux and os in (darwin, win32)"],
    [["loom-hub"], { requires: ["!loom-hub | !loom-hub"] }, "loom-hub and !loom-hub | !loom-hub"],
    [["node=oracle"], { host: "tower" }, "node=oracle and host tower"],
  ] as const)(
    "refuses a step that with %j and %j fits no machine",
    ([requires, options, clauses]) => {
      const workflow = defineWorkflow({ name: "deploy", requires });
      expect(() => workflow.step("build", options, done)).toThrow(
        expect.objectContaining({
          code: "WORKFLOW_DEFINITION",
          step: "build",
          message: expect.stringContaining(`no machine can meet ${clauses} together`),
        }),
      );
    },
  );

  test("refuses requirements that fit no machine before there is a step", () => {
    expect(() => defineWorkflow({ name: "deploy", requires: ["has-gpu", "!has-gpu"] })).toThrow(
      "no machine can meet has-gpu and !has-gpu together",
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
        message: expect.stringContaining("url: must be a URL"),
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
        map: null,
        runsAfter: "success",
        optional: false,
        skip: "pass",
        wait: null,
        when: null,
        checkpoint: null,
        run: done,
      },
    ]);
  });

  test("keeps the author's options", () => {
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

  test("does not change the workflow that it is added to", () => {
    const empty = defineWorkflow({ name: "deploy" });
    const built = empty.step("build", {}, done);
    const left = built.step("left", { after: ["build"] }, done);
    const right = built.step("right", { after: ["build"] }, done);
    const names = [empty, built, left, right].map(({ steps }) => steps.map(({ name }) => name));
    expect(names).toEqual([[], ["build"], ["build", "left"], ["build", "right"]]);
  });

  test("is not changed by later changes to the author's arrays", () => {
    const requires = ["docker"];
    const workflow = stepOf({ requires });
    requires.push("gpu");
    expect(workflow.steps[0]?.requires).toEqual(["docker"]);
  });

  test("needs a step once that is named twice", () => {
    const built = stepOf({}).step("ship", { after: ["build", "build"] }, done);
    expect(built.steps[1]?.after).toEqual(["build"]);
  });

  test.for([
    { title: "a timeout of zero", options: { timeout: "0s" }, problem: "above 0" },
    { title: "a timeout without unit", options: { timeout: "10" }, problem: "not a duration" },
    { title: "an unknown step", options: { after: ["x"] }, problem: "not an earlier step" },
    { title: "no attempts", options: { retry: { attempts: 0 } }, problem: "retry.attempts" },
    { title: "an empty clause", options: { requires: [""] }, problem: "expected a name" },
    { title: "an empty host", options: { host: "" }, problem: "host is empty" },
    { title: "a host with a space", options: { host: "pop os" }, problem: "not a node name" },
    { title: "an empty hint", options: { hostHint: "" }, problem: "hostHint is empty" },
    {
      title: "a host and a hint",
      options: { host: "popos", hostHint: "nas" },
      problem: "has no effect",
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
    {
      title: "a failure of nothing",
      options: { runsAfter: "failure" },
      problem: "name them in after",
    },
    {
      title: "an unknown rule",
      options: { runsAfter: "never" as "always" },
      problem: "runsAfter is",
    },
    { title: "a condition that is none", options: { when: true as never }, problem: "when is a" },
    { title: "a skip that never comes", options: { skip: "cascade" }, problem: "has no effect" },
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

  test("refuses a name that is already used", () => {
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

  test("refuses a definition at import if its runs could not start", () => {
    const many = (count: number) => Array.from({ length: count }, (_, index) => `c${index}`);
    const noted = async () => {};
    expect(() =>
      defineWorkflow({ name: "w", requires: many(60) }).step("s", { requires: many(63) }, noted),
    ).not.toThrow();
    expect(() => defineWorkflow({ name: "w" }).step("s", { requires: many(64) }, noted)).toThrow(
      "at most 64 requirements, those of its workflow and its version included; this one has 65",
    );
    expect(() =>
      defineWorkflow({ name: "w" }).step(
        "s",
        { concurrency: { key: "a\u0000b", limit: 1 } },
        noted,
      ),
    ).toThrow("a key of 1 to 200 printable characters");
    const input = z.object({ text: z.string() });
    const schedule = cron("@daily", { input: { text: "x".repeat(270_000) } });
    expect(() => defineWorkflow({ name: "w", input, schedule })).toThrow(
      "the schedule's input has 270011 bytes as JSON, of at most 262144",
    );
    // 200 emoji count as 200 characters, as in Postgres.
    expect(() =>
      defineWorkflow({ name: "w" }).step(
        "s",
        { concurrency: { key: "😀".repeat(200), limit: 1 } },
        noted,
      ),
    ).not.toThrow();
    expect(() =>
      defineWorkflow({ name: "w" }).step("s", { hostHint: "h".repeat(64) }, noted),
    ).toThrow("at most 63 characters");
  });
});

describe("map", () => {
  const listed = defineWorkflow({ name: "transcode" })
    .step("list", {}, async () => ({ files: ["a"] }))
    .map("encode", { over: "list.files" }, async () => ({ frames: [1] }));
  // What a file of JavaScript can say.
  const map = (options: object) => listed.map("each", options as { over: "encode" }, done);

  test("comes after the step that lists, and fills in every default", () => {
    expect(listed.steps[1]).toMatchObject({
      after: ["list"],
      map: { step: "list", path: "files", key: null, concurrency: null, tolerate: null },
      concurrency: null,
    });
    expect(
      map({ after: ["list"], over: "encode", key: "id", concurrency: 2, tolerate: "2.5%" })
        .steps[2],
    ).toMatchObject({
      after: ["list", "encode"],
      map: { step: "encode", path: null, key: "id", concurrency: 2, tolerate: "2.5%" },
    });
  });

  test("differs in its version from a step, and by its options", () => {
    const versions = [
      listed.step("each", { after: ["encode"] }, done),
      map({ over: "encode" }),
      map({ over: "encode", tolerate: 1 }),
    ].map(({ version }) => version);
    expect(new Set(versions).size).toBe(3);
  });

  test.for([
    { options: {}, problem: "over is missing" },
    {
      options: { over: "lst" },
      problem: 'over names "lst", which is not an earlier step (list, encode)',
    },
    { options: { over: "list.a.b" }, problem: "name a step, or a step and one property" },
    { options: { over: "list." }, problem: "name a step, or a step and one property" },
    { options: { over: "encode.frames" }, problem: "maps cannot be nested. Put a step between" },
    { options: { over: "encode", key: "" }, problem: "key is not the name of a property" },
    { options: { over: "encode", concurrency: 0 }, problem: "a whole number from 1 to 10000" },
    {
      options: { over: "encode", concurrency: { key: "a", limit: 1 } },
      problem: "a whole number from 1 to 10000",
    },
    {
      options: { over: "encode", tolerate: -1 },
      problem: "tolerate is a whole number from 0 to 10000",
    },
    { options: { over: "encode", tolerate: "101%" }, problem: 'or a share from "0%" to "100%"' },
    { options: { over: "encode", tolerate: "1e1%" }, problem: 'or a share from "0%" to "100%"' },
    { options: { over: "encode", optional: true }, problem: "cannot have optional" },
    { options: { over: "encode", runsAfter: "always" }, problem: "cannot have runsAfter" },
  ])("refuses $options", ({ options, problem }) => {
    expect(() => map(options)).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION",
        step: "each",
        message: expect.stringContaining(problem),
      }),
    );
  });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { InvalidInputError } from "@loom/workflow";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordLog } from "../../test/recorded-log.ts";
import { codeOf, define, folderOf } from "../../test/workflow-folder.ts";
import { createPlanner, type PlannerOptions } from "./create-planner.ts";
import { findWorkflowFiles } from "./workflow-files.ts";

const FOREVER = "for (;;);";
const IMPORT = `import { defineWorkflow } from "@loom/workflow";\nimport { z } from "zod";\n`;

/** A workflow whose step has this option, or whose input has this schema. */
const withCode = (name: string, { input = "z.any()", options = "{}" }) =>
  `${IMPORT}export const workflow: unknown = defineWorkflow({ name: "${name}", input: ${input} as any }).step("only", ${options} as any, async () => {});\n`;

/** A planner of these files, which are all imported. */
async function planner(files: Record<string, string>, options: Partial<PlannerOptions> = {}) {
  const log = recordLog();
  const modules = await findWorkflowFiles(await folderOf(files));
  const { code } = await codeOf();
  const made = createPlanner({ modules, code, env: process.env, log, ...options });
  onTestFinished(() => made.close());
  await made.loaded;
  return Object.assign(made, { lines: log.lines });
}

/** How long a promise takes, by the clock. */
async function timed<Value>(promise: Promise<Value>) {
  const startedAt = performance.now();
  const value = await promise;
  return { value, ms: performance.now() - startedAt };
}

/** Calls back every 10 ms, and says what was the longest that this process could not. */
function watchLoop() {
  let last = performance.now();
  let longestMs = 0;
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  }, 10);
  return () => {
    clearInterval(timer);
    return longestMs;
  };
}

function isAlive(pid: number): boolean {
  // One that was killed may wait for somebody to ask for it.
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
  return stat !== "" && !/\) [ZX] /.test(stat);
}

describe("a planner", { timeout: 60_000 }, () => {
  test("plans as in this process: input, host, preferences, concurrency", async () => {
    const { plan, workflows } = await planner({
      "deploy.ts": withCode("deploy", {
        input: `z.object({ to: z.string().default("forge") })`,
        options: `{ host: ({ input }) => input.to, prefers: () => [{ clause: "ssd", weight: 2 }],
          concurrency: ({ input }) => ({ key: input.to, limit: 1 }) }`,
      }),
    });
    expect(workflows.get("deploy")).toMatchObject({
      name: "deploy",
      inputSchema: { type: "object", properties: { to: { default: "forge", type: "string" } } },
      steps: [{ name: "only", host: null, computed: ["host", "prefers", "concurrency"] }],
    });
    expect(await plan("deploy", { input: { to: "tower" } })).toMatchObject({
      workflow: "deploy",
      version: workflows.get("deploy")?.version,
      input: { to: "tower" },
      jobs: [
        {
          ...{ step: "only", host: "tower", prefers: [{ clause: "ssd", weight: 2 }] },
          concurrency: { key: "tower", limit: 1 },
        },
      ],
    });
    expect((await plan("deploy")).input).toEqual({ to: "forge" });
    await expect(plan("deploy", { input: { to: 5 } })).rejects.toThrow(InvalidInputError);
    await expect(plan("deploy", { input: { to: 5 } })).rejects.toMatchObject({
      workflow: "deploy",
      issues: [{ path: "to", message: "must be text" }],
    });
  });

  test("decides in the version that a run began with", async () => {
    const when = (value: string) => withCode("w", { options: `{ when: () => ${value} }` });
    const old = await planner({ "w.ts": when("false") });
    const module = old.modules.get("w");
    const asked: unknown[] = [];
    const { decide, modules } = await planner(
      { "w.ts": when("true") },
      {
        openVersion: async ({ version }) => {
          asked.push(version);
          if (version !== module?.version) throw new Error("nobody has it");
          return module.url;
        },
      },
    );
    const step = {
      ...{ id: 1, workflow: "w", step: "only", requires: [] },
      ...{ input: {}, results: {}, payload: null },
    };
    expect(await decide({ ...step, version: modules.get("w")?.version ?? "" })).toEqual({
      outcome: "runs",
    });
    expect(asked).toEqual([]);
    expect(await decide({ ...step, version: module?.version ?? "" })).toEqual({ outcome: "skips" });
    await expect(decide({ ...step, version: "gone" })).rejects.toThrow("nobody has it");
  });

  test.for<{
    title: string;
    code: Parameters<typeof withCode>[1];
    limits?: Partial<PlannerOptions>;
    error: object;
  }>([
    {
      title: "a host function that loops for ever",
      code: { options: `{ host: () => { ${FOREVER} } }` },
      error: {
        ...{ code: "WORKFLOW_CODE_TIMED_OUT", workflow: "bad", step: "only", function: "host" },
        message: "workflow bad, step only: host did not answer within 1 s",
      },
    },
    {
      title: "a prefers function that loops for ever",
      code: { options: `{ prefers: () => { ${FOREVER} } }` },
      error: { code: "WORKFLOW_CODE_TIMED_OUT", step: "only", function: "prefers" },
    },
    {
      title: "a concurrency function that loops for ever",
      code: { options: `{ concurrency: () => { ${FOREVER} } }` },
      error: { code: "WORKFLOW_CODE_TIMED_OUT", step: "only", function: "concurrency" },
    },
    {
      title: "a refinement that loops for ever",
      code: { input: `z.any().refine(() => { ${FOREVER} })` },
      error: {
        ...{ code: "WORKFLOW_CODE_TIMED_OUT", workflow: "bad", step: null, function: "input" },
        message: "workflow bad: its input schema did not answer within 1 s",
      },
    },
    {
      title: "a refinement that throws",
      code: { input: `z.any().refine(() => { throw new Error("no dictionary"); })` },
      error: {
        ...{ code: "PLAN_FAILED", workflow: "bad", step: null },
        message: expect.stringContaining("no dictionary"),
      },
    },
    {
      title: "a refinement that never resolves",
      code: { input: "z.any().refine(() => new Promise(() => {}))" },
      error: { code: "PLAN_FAILED", message: expect.stringContaining("promise") },
    },
    {
      title: "a transform that gives no JSON",
      code: { input: "z.any().transform(() => new Date(0))" },
      error: { code: "PLAN_FAILED", message: expect.stringContaining("a Date") },
    },
    {
      title: "a host function that ends the process",
      code: { options: "{ host: () => process.exit(0) }" },
      error: {
        ...{ code: "WORKFLOW_CODE_FAILED", workflow: "bad", step: "only", function: "host" },
        message: "workflow bad, step only: host ended its process, with exit code 0",
      },
    },
    {
      title: "a host function that takes all memory",
      code: {
        options: "{ host: () => { const all = []; for (;;) all.push(Buffer.alloc(1e6, 1)); } }",
      },
      // A busy machine gives it the memory slowly.
      limits: { callMs: 20_000 },
      error: {
        code: "WORKFLOW_CODE_FAILED",
        message: expect.stringContaining("it used more than 256 MiB of memory"),
      },
    },
  ])("survives $title, and others are planned meanwhile", async ({ code, error, limits }) => {
    const { plan } = await planner(
      { "bad.ts": withCode("bad", code), "good.ts": define("good") },
      { memoryMb: 256, ...limits },
    );
    await plan("good");
    const longest = watchLoop();
    const bad = plan("bad", { input: {} });
    const failed = expect(bad).rejects.toMatchObject(error);
    expect((await plan("good")).workflow).toBe("good");
    await failed;
    expect(longest()).toBeLessThan(500);
    // The process that was ended has a successor.
    expect((await plan("good")).workflow).toBe("good");
  });

  test("keeps other workflows from waiting long while many hang", async () => {
    const hangs = { options: `{ host: () => { ${FOREVER} } }` };
    const { plan } = await planner({
      "a.ts": withCode("a", hangs),
      "b.ts": withCode("b", hangs),
      "good.ts": define("good"),
    });
    const over: string[] = [];
    const asked = ["a", "a", "a", "a", "b", "b", "b", "b", "good", "good", "good"].map((name) =>
      plan(name)
        .catch(() => {})
        .then(() => void over.push(name)),
    );
    await Promise.all(asked);
    // They were the last to ask.
    expect(over.lastIndexOf("good")).toBeLessThan(8);
  });

  test("refuses requests that wait too long for others of their workflow", async () => {
    const { plan } = await planner({
      "a.ts": withCode("a", { options: `{ host: () => { ${FOREVER} } }` }),
    });
    const codes = await Promise.all(
      Array.from({ length: 12 }, () => plan("a").catch(({ code }) => code)),
    );
    expect(new Set(codes)).toEqual(new Set(["WORKFLOW_CODE_TIMED_OUT", "PLANNER_BUSY"]));
    expect(codes.filter((code) => code === "PLANNER_BUSY").length).toBeGreaterThan(5);
  });

  test("reports why each broken file cannot be imported, and uses the others", async () => {
    const longest = watchLoop();
    const { workflows, problems } = await planner(
      {
        "a-exits.ts": `${define("exits")}process.exit(3);\n`,
        "b-eats.ts": `${define("eats")}const all = []; for (;;) all.push(Buffer.alloc(1e6, 1));\n`,
        "c-good.ts": define("good"),
        "d-clause.ts": define("clause", `{ requires: ["gpu >>= 3"] }`),
        "e-missing.ts": `import "no-such-package-anywhere";\n${define("missing")}`,
        "f-syntax.mjs": "const a = 1;\nconst a = 2;\n",
        "g-throws.ts": `${define("throws")}throw "a text";\n`,
        "h-good.ts": define("second"),
      },
      { memoryMb: 256 },
    );
    expect([...workflows.keys()]).toEqual(["good", "second"]);
    expect(
      problems.map(({ file, ...rest }) => ({ file: file.split("/").at(-1), ...rest })),
    ).toEqual([
      expect.objectContaining({
        ...{ file: "a-exits.ts", line: null, frame: null },
        message: "importing it ended the process, with exit code 3",
        fix: expect.stringContaining("process.exit"),
      }),
      expect.objectContaining({
        file: "b-eats.ts",
        message: expect.stringContaining("it used more than 256 MiB of memory"),
      }),
      expect.objectContaining({
        ...{ file: "d-clause.ts", line: 2 },
        message: expect.stringContaining("workflow clause, step only"),
        frame: expect.stringContaining("> 2 | export const workflow: unknown = defineWorkflow({"),
      }),
      expect.objectContaining({
        ...{ file: "e-missing.ts", line: 1, column: 8 },
        fix: "install it beside the file: npm install no-such-package-anywhere",
      }),
      expect.objectContaining({
        ...{ file: "f-syntax.mjs", line: 2, column: 7 },
        message: 'The symbol "a" has already been declared',
        frame: "  1 | const a = 1;\n> 2 | const a = 2;\n    |       ^\n  3 |",
      }),
      expect.objectContaining({ file: "g-throws.ts", line: null, message: "a text" }),
    ]);
    expect(longest()).toBeLessThan(500);
  });

  test("offers the other files at once while an import never ends, and then reports it", async () => {
    const log = recordLog();
    const folder = await folderOf({ "a.ts": `${define("a")}${FOREVER}`, "b.ts": define("b") });
    const modules = await findWorkflowFiles(folder);
    const { code } = await codeOf();
    const made = createPlanner({ modules, code, env: process.env, log, importMs: 3_000 });
    onTestFinished(() => made.close());
    const changed = new Promise<void>((resolve) => made.onChange(resolve));
    const { ms } = await timed(changed);
    expect([...made.workflows.keys()]).toEqual(["b"]);
    expect(made.loading).toEqual([`${folder}/a.ts`]);
    expect((await made.plan("b")).workflow).toBe("b");
    expect(ms).toBeLessThan(6_000);
    await made.loaded;
    expect(made.loading).toEqual([]);
    expect(made.problems).toMatchObject([
      { file: `${folder}/a.ts`, message: "importing it did not end within 3 s" },
    ]);
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: "error", message: "workflow file not used" }),
    );
  });

  test("writes late output and errors of modules to the log only", async () => {
    const { plan, lines } = await planner({
      "prints.ts": `console.log("hello from above");\nprocess.send?.({ type: "loaded", manifests: "[]" });
        setTimeout(() => { throw new Error("too late"); });\n${define("prints")}`,
    });
    expect((await plan("prints")).workflow).toBe("prints");
    await expect
      .poll(() =>
        lines.map(({ message, facts }) => `${message}: ${facts.output ?? facts.error}`).sort(),
      )
      .toEqual([
        "workflow code threw where nobody catches it: Error: too late",
        "workflow code wrote: hello from above\n",
      ]);
  });

  test("fails no request because of another module's timer", async () => {
    const { plan } = await planner({
      "ends.ts": `setTimeout(() => process.exit(1), 300);\n${define("ends")}`,
      "blocks.ts": `setTimeout(() => { ${FOREVER} }, 600);\n${define("blocks")}`,
      "good.ts": define("good"),
    });
    const until = performance.now() + 2_500;
    while (performance.now() < until) {
      expect((await plan("good")).workflow).toBe("good");
      await sleep(20);
    }
  });

  test("leaves no looping process when the program that started it is killed", async () => {
    const folder = await folderOf({
      "a.ts": `import { writeFileSync } from "node:fs";\n${withCode("a", {
        options: `{ host: () => { writeFileSync(process.env.PID_FILE, String(process.pid)); ${FOREVER} } }`,
      })}`,
    });
    const program = path.join(folder, "program.mjs");
    writeFileSync(
      program,
      `import { createCodeStore, loadSigningKey } from "@loom/code";
      import { createBundler } from "@loom/code/bundle";
      import { createPlanner } from "@loom/worker";
      const key = await loadSigningKey("${folder}/key");
      const store = createCodeStore({ folder: "${folder}/code", publicKey: key.publicKey });
      const code = { bundle: createBundler({ store, key }), toAuthor: async (text) => text };
      const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
      const modules = [new URL("a.ts", import.meta.url).href];
      const planner = createPlanner({ modules, code, env: process.env, log });
      await planner.loaded;
      await planner.plan("a");`,
    );
    const args = ["--conditions=@loom/source", program];
    const file = path.join(folder, "pid");
    const started = spawn(process.execPath, args, {
      stdio: "ignore",
      env: { ...process.env, PID_FILE: file },
    });
    await expect.poll(() => existsSync(file), { interval: 10 }).toBe(true);
    started.kill("SIGKILL");
    await once(started, "exit");
    const pid = Number(readFileSync(file, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });
});

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import type { ClaimedJob } from "@loom/queue";
import {
  CancelledError,
  createProcessRunner,
  ownCode,
  type ProcessRunnerOptions,
  type Progress,
  ShutdownError,
} from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import { describe, expect, onTestFinished, test } from "vitest";
import { enclose } from "../src/step-process/cgroup.ts";
import { environmentOf, isAlive, membersOf } from "./process-table.ts";
import { recordLog } from "./recorded-log.ts";
import { moody } from "./workflows/moody.ts";
import { unruly } from "./workflows/unruly.ts";

const MODULE = new URL("workflows/unruly.ts", import.meta.url).href;

function makeRunner(options: Partial<ProcessRunnerOptions> = {}, workflow: AnyWorkflow = unruly) {
  const runner = createProcessRunner({
    code: ownCode(new Map([[unruly.name, { url: MODULE }]])),
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
    execArgv: ["--conditions=@loom/source"],
    killAfterMs: 1_000,
    ...options,
  });
  onTestFinished(() => runner.close());
  let id = 0;
  const start = (stepName: string, input: object = {}) => {
    const step = workflow.steps.find(({ name }) => name === stepName);
    if (!step) throw new Error(`there is no step ${stepName}`);
    id += 1;
    const job: ClaimedJob = {
      id,
      fence: 1,
      runId: "run-1",
      workflow: workflow.name,
      version: "v1",
      step: stepName,
      requires: [],
      attempt: 2,
      maxAttempts: 3,
      timeoutMs: 60_000,
      traceparent: null,
      input: { argv: ["true"], file: "/dev/null", text: "", ...input },
      results: {},
    };
    const stop = new AbortController();
    const output: string[] = [];
    const reported: Progress[] = [];
    const attempt = runner.start({
      job,
      node: "forge",
      signal: stop.signal,
      write: (text) => void output.push(text),
      onStarted: () => {},
      onProgress: (progress) => void reported.push(progress),
      onCheckpoint: async () => {},
      log: recordLog(),
    });
    return { ...attempt, stop, reported, text: () => output.join("") };
  };
  return { start, runner };
}

/** A file that a step writes when it is under way. */
function makeFile() {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-step-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "started");
  const written = async (name = file) => {
    await expect.poll(() => existsSync(name) && readFileSync(name, "utf8")).toMatch(/\d/);
    return readFileSync(name, "utf8").trim().split(/\s+/).map(Number);
  };
  return { file, folder, written };
}

describe("a step in a process", () => {
  test("finds no files that an agent has left which was killed", async () => {
    const { folder } = makeFile();
    const filesFolder = path.join(folder, "files");
    mkdirSync(path.join(filesFolder, "1-1-abc"), { recursive: true });
    const { start } = makeRunner({ filesFolder });
    // Another agent may have it until this one runs jobs.
    expect(existsSync(filesFolder)).toBe(true);
    await start("tell").outcome;
    expect(existsSync(filesFolder)).toBe(false);
  });

  test("is given its context, and the next one finds its process warm", async () => {
    const { start } = makeRunner();
    const first = await start("tell").outcome;
    expect(first).toEqual({
      outcome: "succeeded",
      result: {
        attempt: 2,
        node: "forge",
        run: { id: "run-1" },
        step: "tell",
        workflow: "unruly",
        runs: 1,
        pid: expect.any(Number),
        // It yields to the agent, and to whoever sits at the machine.
        nice: 10,
      },
    });
    // Regression: each step left listeners on the process's streams.
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning);
    process.on("warning", onWarning);
    onTestFinished(() => void process.off("warning", onWarning));
    for (let runs = 2; runs <= 15; runs += 1) {
      const { pid } = Object(first).result;
      expect(await start("tell").outcome).toMatchObject({ result: { runs, pid } });
    }
    await setImmediate();
    expect(warnings).toEqual([]);
  });

  test("ends with its process when no other step comes within the idle time", async () => {
    const { start } = makeRunner({ idleMs: 50 });
    const pidOf = async () => Number(Object(await start("tell").outcome).result.pid);
    const first = await pidOf();
    await expect.poll(() => isAlive(first)).toBe(false);
    expect(await pidOf()).not.toBe(first);
  });

  test.runIf(process.platform === "linux")(
    "is ended before its agent when memory runs out, and so are its commands",
    async () => {
      const file = "/proc/self/oom_score_adj";
      const raised = Math.min(1_000, Number(readFileSync(file, "utf8")) + 500);
      const { start } = makeRunner();
      expect(await start("read-file", { file }).outcome).toMatchObject({ result: `${raised}` });
      expect(await start("command", { argv: ["cat", file] }).outcome).toMatchObject({
        result: { stdout: `${raised}\n` },
      });
    },
  );

  test("does not share its process with another step at a time", async () => {
    const { start } = makeRunner();
    const both = await Promise.all([start("tell").outcome, start("tell").outcome]);
    expect(both).toMatchObject([{ result: { runs: 1 } }, { result: { runs: 1 } }]);
  });

  test("has all of its output in the log when it has ended, and reports its progress", async () => {
    const { start } = makeRunner();
    for (const name of ["cold", "warm"]) {
      const attempt = start("write", { text: name });
      expect(await attempt.outcome).toMatchObject({ outcome: "succeeded" });
      const lines = attempt.text().split("\n");
      expect(lines).toContainEqual(
        expect.stringMatching(`^[0-9TZ:.-]+ info first {"text":"${name}"}$`),
      );
      expect(lines).toContain("second");
      expect(lines).toContain("third");
      expect(attempt.text()).toMatch(/last, without an end of line$/);
      expect(attempt.text()).toMatch(/info progress 50% half way/);
      // Reported twice; once is enough.
      expect(attempt.text().match(/progress/g)).toHaveLength(1);
      expect(attempt.reported).toEqual([{ fraction: 0.5, note: "half way" }]);
    }
  });

  test("finds its process as an earlier one found it", async () => {
    const { start } = makeRunner();
    const first = await start("change-process").outcome;
    expect(first).toMatchObject({ result: [null, process.cwd(), process.umask()] });
    expect(await start("change-process").outcome).toEqual(first);
  });

  test.for([
    { what: "nothing", isKept: true },
    { what: "a timer", isKept: false },
    { what: "a server", isKept: false },
    { what: "its umask", isKept: false },
    { what: "its folder", isKept: false },
    { what: "a variable", isKept: false },
    { what: "no variable", isKept: false },
    { what: "a listener", isKept: false },
  ])("that leaves $what behind: its process is kept: $isKept", async ({ what, isKept }) => {
    const { start } = makeRunner();
    const first = await start("leave", { text: what }).outcome;
    const second = await start("leave", { text: "nothing" }).outcome;
    expect(second).toMatchObject({ outcome: "succeeded" });
    expect(Object(second).result === Object(first).result).toBe(isKept);
  });

  test.for(["a late throw", "a late rejection", "late words"])(
    "is not affected by an earlier step: %s",
    async (text) => {
      const { start } = makeRunner();
      const first = await start("leave", { text }).outcome;
      const second = start("pause");
      // In the same process, while that comes to life.
      expect(await second.outcome).toEqual(first);
      expect(second.text()).not.toContain("late");
      const third = await start("leave", { text: "nothing" }).outcome;
      expect(third).toMatchObject({ outcome: "succeeded" });
      expect(third).not.toEqual(first);
    },
  );

  test("is not given a process whose import of the module failed", async () => {
    const { folder } = makeFile();
    const env = { PATH: process.env.PATH, MOOD_FILE: path.join(folder, "mood") };
    const url = new URL("workflows/moody.ts", import.meta.url).href;
    const { start } = makeRunner({ env, code: ownCode(new Map([[moody.name, { url }]])) }, moody);
    expect(await start("work").outcome).toMatchObject({
      outcome: "failed",
      error: { message: "the module is not in the mood" },
    });
    expect(await start("work").outcome).toEqual({ outcome: "succeeded", result: "done" });
  });

  test("fails when its process cannot receive its order, and the process is not used again", async () => {
    const { start } = makeRunner();
    await start("tell").outcome;
    const { outcome, ended } = start("tell", {
      deep: JSON.parse("[".repeat(100_000) + "]".repeat(100_000)),
    });
    expect(await outcome).toMatchObject({ outcome: "failed", error: { name: "RangeError" } });
    await ended;
    expect(await start("tell").outcome).toMatchObject({ result: { runs: 1 } });
  });

  test("is declined when its module is not known", async () => {
    const { start } = makeRunner({ code: ownCode(new Map()) });
    expect(await start("tell").outcome).toMatchObject({
      outcome: "declined",
      reason: "CODE_UNAVAILABLE: this node has no module for workflow unruly",
    });
  });

  test("keeps name, message, stack and cause of what it throws", async () => {
    const { start } = makeRunner();
    expect(await start("throw-later").outcome).toMatchObject({
      outcome: "failed",
      error: {
        name: "RangeError",
        message: "thrown by a timer",
        stack: expect.stringContaining("unruly.ts"),
      },
    });
  });

  test.for([
    { step: "exit", error: { code: "STEP_PROCESS_ENDED", exitCode: 3 } },
    { step: "crash", error: { code: "STEP_PROCESS_ENDED", signal: "SIGSEGV" } },
  ])("fails when its process ends: $step", async ({ step, error }) => {
    const { start } = makeRunner();
    expect(await start(step).outcome).toMatchObject({ outcome: "failed", error });
    expect(await start("tell").outcome).toMatchObject({
      outcome: "succeeded",
      result: { runs: 1 },
    });
  });

  test.for(["fill-heap", "fill-buffers"])("ends at its memory limit: %s", async (step) => {
    const { start } = makeRunner({ memoryMb: 200 });
    const outcome = await start(step).outcome;
    expect(outcome).toMatchObject({
      outcome: "failed",
      error: { code: "STEP_OUT_OF_MEMORY", message: expect.stringContaining("200 MiB") },
    });
  });

  test("may close its outputs", async () => {
    const { start } = makeRunner();
    expect(await start("close-outputs").outcome).toMatchObject({ result: "closed" });
    expect(await start("tell").outcome).toMatchObject({ outcome: "succeeded" });
  });

  test("receives the reason of its stop, and its result counts", async () => {
    const { start } = makeRunner();
    const { file, written } = makeFile();
    const attempt = start("finish-anyway", { file });
    const [pid = 0] = await written();
    attempt.stop.abort(new ShutdownError());
    expect(await attempt.outcome).toEqual({ outcome: "succeeded", result: { code: "SHUTDOWN" } });
    // Its leftovers are unknown, so its process runs nothing else.
    expect(isAlive(pid)).toBe(false);
  });

  test("is ended when it spins, and the agent is not disturbed meanwhile", async () => {
    const { start } = makeRunner();
    const { file, written } = makeFile();
    const attempt = start("spin", { file });
    const [pid = 0] = await written();
    let longestMs = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }, 10);
    attempt.stop.abort(new CancelledError());
    const outcome = await attempt.outcome;
    clearInterval(timer);
    expect(outcome.outcome).toBe("failed");
    expect(isAlive(pid)).toBe(false);
    expect(longestMs).toBeLessThan(900);
  });
});

describe("exec", () => {
  const sh = (script: string) => ["/bin/sh", "-c", script];

  test("returns the command's output, which is also in the log", async () => {
    const { start } = makeRunner();
    const attempt = start("command", { argv: sh("echo out; echo err >&2") });
    expect(await attempt.outcome).toMatchObject({ result: { stdout: "out\n", stderr: "err\n" } });
    expect(attempt.text()).toContain("out\n");
    expect(attempt.text()).toContain("err\n");
  });

  test("reports that a result lacks a part of the command's output", async () => {
    const { start } = makeRunner();
    // Its last 64 KiB begin inside of a character.
    const argv = sh("echo out; yes 漢 | head -n 30000 | tr -d '\\n' >&2");
    const attempt = start("command", { argv });
    expect(await attempt.outcome).toMatchObject({
      result: { stdout: "out\n", stderr: "漢".repeat(21_845), truncated: true },
    });
    expect(attempt.text()).toContain(
      "the first 0 bytes of stdout and 24465 of stderr are left out",
    );
  });

  test.for([
    {
      title: "fails",
      argv: sh("echo 'no such image' >&2; exit 7"),
      error: {
        code: "COMMAND_FAILED",
        exitCode: 7,
        message: expect.stringContaining("no such image"),
      },
    },
    {
      title: "is killed",
      argv: sh("kill -KILL $$"),
      error: { code: "COMMAND_FAILED", signal: "SIGKILL" },
    },
    {
      title: "cannot be started",
      argv: ["/no/such/program"],
      error: { code: "COMMAND_NOT_STARTED", message: expect.stringContaining("/no/such/program") },
    },
    { title: "has no name", argv: [""], error: { name: "TypeError" } },
  ])("says why when a command $title", async ({ argv, error }) => {
    const { start } = makeRunner();
    expect(await start("command", { argv }).outcome).toMatchObject({ outcome: "failed", error });
  });

  test.for([
    { title: "it is not in PATH", argv: ["no-such-program"], says: "is it installed?" },
    { title: "there is no such file", argv: ["/no/such/program"], says: "the file does not exist" },
    {
      title: "its folder is not there",
      step: "command-elsewhere",
      argv: ["true"],
      says: "the folder /no/such/folder does not exist",
    },
    { title: "it is no program", argv: ["/etc"], says: "may not run it" },
    { title: "it is given too much", argv: ["true", "x".repeat(200_000)], says: "(E2BIG)" },
    {
      title: "no file can be opened",
      step: "command-without-files",
      argv: ["true"],
      says: "too many open files",
    },
  ])("says why a command cannot be started: $title", async ({ step = "command", argv, says }) => {
    const { start } = makeRunner();
    const outcome = await start(step, { argv, file: "/no/such/folder" }).outcome;
    expect(outcome).toMatchObject({
      outcome: "failed",
      error: { code: "COMMAND_NOT_STARTED", message: expect.stringContaining(says) },
    });
    if (argv[0] !== "no-such-program") {
      expect(JSON.stringify(outcome)).not.toContain("is it installed");
    }
  });

  test("leaves nothing of a command in the background", async () => {
    const { start } = makeRunner();
    const { file, written } = makeFile();
    const argv = sh(`(trap '' TERM; exec sleep 300) & echo $! > ${file}; exit 0`);
    const attempt = start("command", { argv });
    expect(await attempt.outcome).toMatchObject({ outcome: "succeeded" });
    const [pid = 0] = await written();
    expect(isAlive(pid)).toBe(false);
  });

  // Each command resists its end in another way, and names every process that it has started.
  test.for([
    { title: "is asked", script: "exec sleep 300" },
    { title: "ignores SIGTERM", script: "trap '' TERM; while :; do sleep 0.1; done" },
    { title: "forks", script: "sleep 300 & sleep 300 & wait" },
    {
      title: "forks twice, and closes its outputs",
      script: "(sleep 300 >&- 2>&- & echo $! >> FILE) & wait; sleep 300",
    },
    { title: "is stopped", script: "kill -STOP $$; sleep 300" },
  ])(
    "ends a command that $title, with its group, before the outcome is given",
    async ({ script }) => {
      const { start } = makeRunner();
      const { file, written } = makeFile();
      const argv = sh(`echo $$ > ${file}; ${script.replace("FILE", file)}`);
      const attempt = start("command", { argv });
      const [group = 0] = await written();
      attempt.stop.abort(new CancelledError());
      expect(await attempt.outcome).toMatchObject({ outcome: "failed" });
      for (const pid of await written()) expect(isAlive(pid)).toBe(false);
      expect(membersOf(group)).toEqual([]);
    },
  );

  test("ends the command of a step that spins", async () => {
    const { start } = makeRunner();
    const { file, folder, written } = makeFile();
    const pidFile = path.join(folder, "pid");
    const attempt = start("command-then-spin", {
      argv: sh(`echo $$ > ${pidFile}; exec sleep 300`),
      file,
    });
    const [[step = 0], [command = 0]] = [await written(), await written(pidFile)];
    attempt.stop.abort(new CancelledError());
    await attempt.outcome;
    expect([isAlive(step), isAlive(command)]).toEqual([false, false]);
  });

  test.runIf(process.platform === "linux")(
    "ends a process in a session of its own that a step started by other means",
    async () => {
      const { start } = makeRunner();
      const { file, written } = makeFile();
      // So long that nobody else's is the same.
      const seconds = `300.${process.pid}`;
      const argv = ["setsid", "--fork", "sleep", seconds];
      const attempt = start("leave-daemon", { argv, file });
      await written();
      const daemons = () =>
        execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" })
          .split("\n")
          .filter((line) => line.endsWith(` sleep ${seconds}`))
          .map((line) => Number.parseInt(line, 10))
          .filter((pid) => /LOOM_ATTEMPT=1-1-/.test(environmentOf(pid)));
      await expect.poll(daemons).toHaveLength(1);
      attempt.stop.abort(new CancelledError());
      await attempt.outcome;
      expect(daemons()).toEqual([]);
    },
  );
});

/** Whether this user can make control groups of version 2. */
const mayEnclose = (() => {
  const child = spawn("sleep", ["60"]);
  const cgroup = child.pid === undefined ? undefined : enclose(child.pid);
  child.kill("SIGKILL");
  void cgroup?.end();
  return cgroup !== undefined;
})();

// Nothing of it tells where it came from: no variable, no session, no parent.
describe.runIf(process.platform === "linux").each([
  { where: "in a control group", cgroups: true },
  { where: "without a control group", cgroups: false },
])("a process with a cleared environment, in a session of its own, $where", ({ cgroups }) => {
  test
    .runIf(mayEnclose || !cgroups)
    .for(
      ["setsid", "twice"].flatMap((how) =>
        ["return", "exit", "crash", "wait"].map((end) => ({ how, end })),
      ),
    )(
    "does not survive its step, nor keeps the step's process: $how, $end",
    async ({ how, end: text }) => {
      const { start } = makeRunner({ cgroups });
      const { file, written } = makeFile();
      const write = `echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 300`;
      const script = how === "setsid" ? write : `(setsid sh -c '${write}' &) &`;
      const attempt = start("leave-cleared", { argv: ["/bin/sh", "-c", script], file, text });
      const [pid = 0] = await written();
      if (text === "wait") attempt.stop.abort(new CancelledError());
      const outcome = await attempt.outcome;
      expect(outcome.outcome).toBe(text === "return" ? "succeeded" : "failed");
      expect(isAlive(pid)).toBe(false);
    },
  );
});

describe.runIf(process.platform === "linux")("without a control group", () => {
  test("a step that leaves nothing keeps its process, also when its orphans have ended", async () => {
    const { start } = makeRunner({ cgroups: false });
    const argv = ["/bin/sh", "-c", "(setsid true &) & sleep 0.2"];
    await start("command", { argv }).outcome;
    await start("command", { argv }).outcome;
    const reported = await start("tell").outcome;
    const pid: unknown = expect.any(Number);
    expect(reported).toMatchObject({ result: { runs: 1, pid } });
    const { result } = reported as Extract<typeof reported, { outcome: "succeeded" }>;
    const table = execFileSync("ps", ["-eo", "ppid=,stat="], { encoding: "utf8" });
    const parents = table.split("\n").map((line) => Number.parseInt(line, 10));
    expect(parents).not.toContain((result as { pid: number }).pid);
  });

  test("an orphan of the agent's other programs is reaped when it ends", async () => {
    const { start } = makeRunner({ cgroups: false });
    // This process is the parent of orphans since it started this step's process.
    await start("tell").outcome;
    const script = "sleep 0.2 > /dev/null 2>&1 & echo $!";
    const pid = Number(execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }));
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
  });

  test("a step's processes end when the agent is killed", async () => {
    const { file, written } = makeFile();
    const script = `echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 300`;
    const input = { argv: ["/bin/sh", "-c", script], file, text: "wait" };
    const job = { id: 1, fence: 1, runId: "run-1", workflow: "unruly", step: "leave-cleared" };
    const task = { job: { ...job, traceparent: null, input, results: {} }, node: "forge" };
    const program = `
      const { createProcessRunner } = await import("${new URL("../src/step-process/process-runner.ts", import.meta.url).href}");
      const { ownCode } = await import("${new URL("../src/code/step-code.ts", import.meta.url).href}");
      const code = ownCode(new Map([["unruly", { url: "${MODULE}" }]]));
      const env = { PATH: process.env.PATH };
      const runner = createProcessRunner({ code, env, cgroups: false });
      const nothing = () => {};
      runner.start({
        ...${JSON.stringify(task)},
        signal: new AbortController().signal,
        write: nothing, onStarted: nothing, onProgress: nothing, onCheckpoint: async () => {},
        log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      });`;
    const agent = spawn(
      process.execPath,
      ["--conditions=@loom/source", "--input-type=module", "-e", program],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const exited = once(agent, "exit");
    const [pid = 0] = await written();
    agent.kill("SIGKILL");
    await exited;
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  test("without node:ffi, a process whose ancestors are all alive ends with its step", async () => {
    const execArgv = ["--conditions=@loom/source", "--no-experimental-ffi"];
    const { start } = makeRunner({ cgroups: false, execArgv });
    const { file, written } = makeFile();
    const argv = ["env", "-i", "setsid", "sh", "-c", `echo $$ > ${file}; exec sleep 300`];
    const attempt = start("leave-daemon", {
      argv: ["sh", "-c", `${argv.slice(0, 3).join(" ")} sh -c '${argv.at(-1)}' & wait`],
    });
    const [pid = 0] = await written();
    attempt.stop.abort(new CancelledError());
    await attempt.outcome;
    expect(isAlive(pid)).toBe(false);
  });
});

test.runIf(mayEnclose)(
  "the next agent ends processes that a killed one has left in its control groups",
  async () => {
    const daemon = spawn("sleep", ["300"], { detached: true, stdio: "ignore" });
    const exited = once(daemon, "exit");
    const folder = enclose(daemon.pid ?? 0)?.folder ?? "";
    const { pid: ended } = spawnSync("true");
    const left = folder.replace(`-${process.pid}-`, `-${ended}-`);
    mkdirSync(left);
    writeFileSync(path.join(left, "cgroup.procs"), String(daemon.pid));
    rmdirSync(folder);
    // The next agent's first step.
    const program = `
      const { enclose } = await import("${new URL("../src/step-process/cgroup.ts", import.meta.url).href}");
      const { spawn } = await import("node:child_process");
      await enclose(spawn("sleep", ["300"]).pid).end();`;
    spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    expect(await exited).toEqual([null, "SIGKILL"]);
    await expect.poll(() => existsSync(left)).toBe(false);
  },
);

describe("secrets", () => {
  test("appear neither in the log, not even in parts, nor in the error", async () => {
    const API_TOKEN = "s3cr3t-value-of-this-test";
    const { start } = makeRunner({ env: { PATH: process.env.PATH, API_TOKEN } });
    const attempt = start("leak", { text: "x".repeat(2_990) });
    const outcome = await attempt.outcome;
    expect(attempt.text()).toBe("whole ***, in parts ***.\n");
    expect(outcome).toMatchObject({ error: { cause: { message: "cause ***" } } });
    // Cut first and scrubbed after, the message would end with half of it.
    expect(JSON.stringify(outcome)).not.toContain(API_TOKEN.slice(0, 6));
  });
});

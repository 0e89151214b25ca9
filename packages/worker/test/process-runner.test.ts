import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import type { ClaimedJob } from "@loom/queue";
import {
  CancelledError,
  createProcessRunner,
  type ProcessRunnerOptions,
  type Progress,
  ShutdownError,
} from "@loom/worker";
import { describe, expect, onTestFinished, test } from "vitest";
import { environmentOf, isAlive, membersOf } from "./process-table.ts";
import { recordLog } from "./recorded-log.ts";
import { unruly } from "./workflows/unruly.ts";

const MODULE = new URL("workflows/unruly.ts", import.meta.url).href;

function makeRunner(options: Partial<ProcessRunnerOptions> = {}) {
  const runner = createProcessRunner({
    modules: new Map([[unruly.name, { url: MODULE }]]),
    env: { PATH: process.env.PATH },
    execArgv: ["--conditions=@loom/source"],
    killAfterMs: 1_000,
    ...options,
  });
  onTestFinished(() => runner.close());
  let id = 0;
  const start = (stepName: string, input: object = {}) => {
    const step = unruly.steps.find(({ name }) => name === stepName);
    if (!step) throw new Error(`there is no step ${stepName}`);
    id += 1;
    const job: ClaimedJob = {
      id,
      fence: 1,
      runId: "run-1",
      workflow: unruly.name,
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
    const told: Progress[] = [];
    const attempt = runner.start({
      job,
      step,
      node: "forge",
      signal: stop.signal,
      write: (text) => void output.push(text),
      onStarted: () => {},
      onProgress: (progress) => void told.push(progress),
      log: recordLog(),
    });
    return { ...attempt, stop, told, text: () => output.join("") };
  };
  return { start, runner };
}

/** A file that a step writes when it is under way. */
function makeFile() {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-step-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "started");
  const written = async (name = file) => {
    await expect
      .poll(() => existsSync(name) && readFileSync(name, "utf8"), { timeout: 10_000 })
      .toMatch(/\d/);
    return readFileSync(name, "utf8").trim().split(/\s+/).map(Number);
  };
  return { file, folder, written };
}

describe("a step in a process", () => {
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

  test("does not share its process with another step at a time", async () => {
    const { start } = makeRunner();
    const both = await Promise.all([start("tell").outcome, start("tell").outcome]);
    expect(both).toMatchObject([{ result: { runs: 1 } }, { result: { runs: 1 } }]);
  });

  test("has all of its output in the log when it has ended, and tells its progress", async () => {
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
      // Told twice; once is enough.
      expect(attempt.text().match(/progress/g)).toHaveLength(1);
      expect(attempt.told).toEqual([{ fraction: 0.5, note: "half way" }]);
    }
  });

  test("finds its process as an earlier one found it", async () => {
    const { start } = makeRunner();
    const first = await start("change-process").outcome;
    expect(first).toMatchObject({ result: [null, process.cwd()] });
    expect(await start("change-process").outcome).toEqual(first);
  });

  test("is not run with other code than the agent knows", async () => {
    const { start } = makeRunner({
      modules: new Map([[unruly.name, { url: MODULE, version: "000000000000" }]]),
    });
    expect(await start("tell").outcome).toEqual({
      outcome: "declined",
      reason: expect.stringContaining("was changed after the agent started"),
      // The same node would decline it the same way at once.
      delayMs: 5_000,
    });
  });

  test("is declined when its module is not known", async () => {
    const { start } = makeRunner({ modules: new Map() });
    expect(await start("tell").outcome).toMatchObject({
      outcome: "declined",
      reason: "forge has no module for workflow unruly",
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

  test("sees why it is stopped, and what it makes of it counts", async () => {
    const { start } = makeRunner();
    const { file, written } = makeFile();
    const attempt = start("finish-anyway", { file });
    const [pid = 0] = await written();
    attempt.stop.abort(new ShutdownError());
    expect(await attempt.outcome).toEqual({ outcome: "succeeded", result: { code: "SHUTDOWN" } });
    // What it left behind is not known: its process runs nothing else.
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

  test("gives what the command wrote, which is in the log too", async () => {
    const { start } = makeRunner();
    const attempt = start("command", { argv: sh("echo out; echo err >&2") });
    expect(await attempt.outcome).toMatchObject({ result: { stdout: "out\n", stderr: "err\n" } });
    expect(attempt.text()).toContain("out\n");
    expect(attempt.text()).toContain("err\n");
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

  test("leaves nothing of a command in the background", async () => {
    const { start } = makeRunner();
    const { file, written } = makeFile();
    const argv = sh(`(trap '' TERM; exec sleep 300) & echo $! > ${file}; exit 0`);
    const attempt = start("command", { argv });
    expect(await attempt.outcome).toMatchObject({ outcome: "succeeded" });
    const [pid = 0] = await written();
    expect(isAlive(pid)).toBe(false);
  });

  // What a command does against being ended, and every process that it has started.
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
    "ends a command that $title, with its group, before the outcome is told",
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
    "ends what a step started by other means, in a session of its own",
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
      await expect.poll(daemons, { timeout: 10_000 }).toHaveLength(1);
      attempt.stop.abort(new CancelledError());
      await attempt.outcome;
      expect(daemons()).toEqual([]);
    },
  );
});

describe("secrets", () => {
  test("are not in the log, not even in parts, and not in the error", async () => {
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

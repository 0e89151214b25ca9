import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { JsonValue, PlannedJob } from "@loom/workflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const MAIN = fileURLToPath(new URL("../apps/cli/src/clone.mjs", import.meta.url));

let system: System;
let folder: string;
let tower: number;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-exec-"));
  const list = path.join(folder, "programs");
  writeFileSync(list, "/usr/bin/env\n", { mode: 0o600 });
  system = await startSystem();
  const env = { LOOM_EXEC_ON_HUB: "1", LOOM_CODE_KEY: system.codeKey };
  const agent = await system.startAgent("tower", ["big"], {
    slots: 4,
    env: { ...env, LOOM_EXEC: "any" },
  });
  tower = agent.pid;
  await system.startAgent("locked", [], { env: { ...env, LOOM_EXEC: list } });
  // On the hub's machine, and nobody said that this is fine.
  await system.startAgent("shy", ["shy"], {
    env: { LOOM_CODE_KEY: system.codeKey, LOOM_EXEC: "any" },
  });
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const children: ChildProcess[] = [];

const start = (...args: string[]): ChildProcess => startIn(folder, "exec", ...args);

/** Starts the program in a folder. */
function startIn(cwd: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ["--conditions=@loom/source", MAIN, ...args], {
    cwd,
    env: {
      PATH: process.env.PATH,
      LOOM_CONFIG_DIR: folder,
      LOOM_URL: system.url,
      LOOM_TOKEN: system.token,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  return child;
}

async function exec(...args: string[]) {
  return await end(start(...args));
}

async function end(child: ChildProcess) {
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : "",
    child.stderr ? text(child.stderr) : "",
    once(child, "exit"),
  ]);
  return { code, stdout, stderr };
}

/** Whether a process runs. One that has ended may stay in the table until its parent notices. */
const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) &&
  !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

test("a command runs where it fits, with its output and its exit code here", async () => {
  const script = 'echo "$A in $PWD"; echo to stderr >&2; exit 7';
  const ended = await exec("--needs", "big", "-e", "A=b c", "--", "sh", "-c", script);
  expect(ended).toMatchObject({ code: 7, stderr: "" });
  expect(ended.stdout.split("\n").sort()).toEqual(["", `b c in ${process.env.HOME}`, "to stderr"]);
  expect(await exec("--host", "tower", "--", "no-such-program")).toMatchObject({
    code: 127,
    stderr: expect.stringContaining("it is not in PATH"),
  });
  expect((await exec("--host", "tower", "--", "sh", "-c", "kill -9 $$")).code).toBe(137);
  expect((await exec("--host", "tower", "--timeout", "1s", "--", "sleep", "60")).code).toBe(124);
});

test("what a shell would read is an argument", async () => {
  const { stdout } = await exec("--host", "tower", "--", "printf", "%s|", "$HOME", "a b", ";", "*");
  expect(stdout).toBe("$HOME|a b|;|*|");
});

test("Ctrl-C ends the command with everything that it started", async () => {
  const child = start("--host", "tower", "--", "sh", "-c", "sleep 1000 & echo $$ $!; wait");
  const [first] = (await once(child.stdout ?? child, "data")) as [Buffer];
  const pids = String(first).trim().split(" ").map(Number);
  expect(pids.map(isAlive)).toEqual([true, true]);
  child.kill("SIGINT");
  expect((await once(child, "exit"))[0]).toBe(130);
  expect(pids.map(isAlive)).toEqual([false, false]);
});

test("a list of programs allows these alone, and the reason is said", async () => {
  expect(await exec("--host", "locked", "--", "env", "-i")).toMatchObject({ code: 0, stdout: "" });
  const child = start("--host", "locked", "--", "sh", "-c", "echo no");
  const said = new Promise<string>((resolve) => {
    let all = "";
    child.stderr?.on("data", (part: Buffer) => {
      all += part;
      if (all.includes("EXEC_NOT_ALLOWED")) resolve(all);
    });
  });
  expect(await said).toContain("locked does not run");
  child.kill("SIGINT");
  expect((await once(child, "exit"))[0]).toBe(130);
});

test("a node on the hub's machine offers nothing unless both settings say so", async () => {
  const { body } = await system.call("GET", "/nodes/shy");
  expect(body.capabilities).toContain("shy");
  expect(body.capabilities).not.toContain("exec");
});

test("a row that a stranger wrote does not run, nor one that was copied", async () => {
  const mark = path.join(folder, "ran");
  const job: PlannedJob = {
    ...{ step: "command", after: [], requires: [], host: "tower", prefers: [], priority: 1 },
    ...{ runsAfter: "success", optional: false, skip: "pass", hasCondition: false },
    retry: { attempts: 1, backoff: { kind: "fixed", delayMs: 1, maxDelayMs: 1 } },
    ...{ timeoutMs: 60_000, maxCrashRestarts: 0, startWithinMs: null, concurrency: null },
  };
  const write = async (input: JsonValue) => {
    const plan = { workflow: "exec", version: "1", input, jobs: [job] };
    const { runId } = await system.queue.startRun(plan);
    await expect
      .poll(async () => (await system.queue.getRun(runId)).status, { timeout: 60_000 })
      .toBe("failed");
    return (await system.queue.getRun(runId)).jobs[0];
  };
  const argv = ["touch", mark];
  const command = { argv, env: {}, needs: [], host: null, count: null, sweep: [] };
  expect(await write(command)).toMatchObject({ error: { code: "EXEC_SIGNATURE_REFUSED" } });

  const asked = await system.call("POST", "/strands/exec/run", {
    input: { argv, needs: ["shy"] },
    allowUnsatisfiable: true,
  });
  const waiting = await system.queue.getRun(String(asked.body.runId));
  expect(await write(waiting.input as JsonValue)).toMatchObject({
    error: { code: "EXEC_NOT_FOR_THIS" },
  });
  // Sent elsewhere than it was signed for.
  await system.queue.cancelRun(waiting.id);
  expect(existsSync(mark)).toBe(false);
});

test("much output does not grow the agent, and what is left out is said", async () => {
  const rssMb = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${tower}/status`, "utf8"))?.[1]) / 1_024;
  const before = rssMb();
  const script = `yes ${randomUUID()} | head -c 200000000`;
  const { code, stdout } = await exec("--host", "tower", "--", "sh", "-c", script);
  expect(code).toBe(0);
  expect(stdout.length).toBeLessThan(11_000_000);
  expect(stdout).toMatch(/… \d{9} bytes are left out here …/);
  expect(rssMb() - before).toBeLessThan(150);
});

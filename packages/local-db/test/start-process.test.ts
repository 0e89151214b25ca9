import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { startProcess } from "../src/index.ts";
import { isRunning } from "../src/process/process-group.ts";
import { descendants, startProgram } from "./program.ts";

const sh = (script: string, options: Partial<Parameters<typeof startProcess>[2]> = {}) =>
  startProcess("/bin/sh", ["-c", script], { stopSignal: "SIGTERM", ...options });

/** Starts a script and waits for its first line. */
async function shUntilLine(script: string, options: { graceMs?: number } = {}) {
  let saw = (_line: string) => {};
  const line = new Promise<string>((resolve) => {
    saw = resolve;
  });
  const child = await sh(script, { ...options, onLine: saw });
  return { child, line: await line };
}

const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 25 });

function tempFile(): string {
  const directory = mkdtempSync(join(tmpdir(), "loom-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, "order");
}

describe("startProcess", () => {
  test("reports how a process ended, and its output", async () => {
    const lines: [string, string][] = [];
    const child = await sh("echo out; echo err >&2; exit 3", {
      name: "three",
      onLine: (line, stream) => lines.push([stream, line]),
    });

    const exit = await child.exited;

    expect(exit).toMatchObject({ name: "three", code: 3, signal: null });
    expect(exit.log.split("\n").sort()).toEqual(["err", "out"]);
    expect(lines.sort()).toEqual([
      ["stderr", "err"],
      ["stdout", "out"],
    ]);
  });

  test("reports a command that cannot be run as exit code 127", async () => {
    const child = await startProcess("/no/such/command", [], { stopSignal: "SIGTERM" });

    expect(await child.exited).toMatchObject({ name: "command", code: 127 });
    expect(child.log()).toContain("/no/such/command");
  });

  test("passes the arguments and the environment on as they are", async () => {
    const child = await startProcess("/bin/sh", ["-c", 'echo "$1|$FROM"', "sh", "a 'b' $c\n*"], {
      env: { FROM: "env" },
      stopSignal: "SIGTERM",
    });

    expect((await child.exited).log).toBe("a 'b' $c\n*|env");
  });

  test("stops with the stop signal", async () => {
    const { child } = await shUntilLine(
      "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.02; done",
    );

    expect(await child.stop()).toMatchObject({ code: 0, signal: null, log: "up\nasked" });
    expect(await child.stop()).toMatchObject({ code: 0 });
  });

  test("kills a process that does not end in time", async () => {
    const { child } = await shUntilLine("trap '' TERM; echo up; while :; do sleep 0.02; done", {
      graceMs: 100,
    });

    expect(await child.stop()).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("leaves no grandchild behind when the process ends", async () => {
    const { child, line } = await shUntilLine("sleep 1000 & echo $!; wait");
    expect(isRunning(Number(line))).toBe(true);

    await child.stop();

    await until(() => expect(isRunning(Number(line))).toBe(false));
  });

  test("ends everything, the last one started first, when this process is killed", async () => {
    const file = tempFile();
    const { program, said } = await startProgram("start-processes", [file]);
    let family = descendants(said.pid as number);
    // A child that was just forked still has its parent's command line.
    await until(() => {
      family = descendants(said.pid as number);
      expect(family.filter(({ command }) => command.startsWith("sleep 1000"))).toHaveLength(3);
    });

    program.kill("SIGKILL");

    await until(() => expect(family.filter(({ pid }) => isRunning(pid))).toEqual([]));
    expect(readFileSync(file, "utf8")).toBe("third\nsecond\nfirst\n");
  });

  test("replaces a reaper that was killed", async () => {
    const { program, said } = await startProgram("start-processes", [tempFile()]);
    const reapers = () =>
      descendants(said.pid as number).filter(({ command }) => command.includes("loom-reaper"));
    const [first] = reapers();

    process.kill(first?.pid as number, "SIGKILL");
    await until(() => {
      const [second] = reapers();
      expect(second?.pid).toBeDefined();
      expect(second?.pid).not.toBe(first?.pid);
    });
    const family = descendants(said.pid as number);
    program.kill("SIGKILL");

    await until(() => expect(family.filter(({ pid }) => isRunning(pid))).toEqual([]));
  });

  test("keeps its reaper when all processes of the machine get SIGTERM", async () => {
    const { program, said } = await startProgram("start-processes", [tempFile()]);
    const family = descendants(said.pid as number);
    const reaper = family.find(({ command }) => command.includes("loom-reaper"));

    process.kill(reaper?.pid as number, "SIGTERM");
    program.kill("SIGTERM");

    await until(() => expect(family.filter(({ pid }) => isRunning(pid))).toEqual([]));
  });
});

import { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { sampleStatus, toJson } from "../testing/sample-status.ts";
import { cliSource } from "./cli.ts";

const directory = mkdtempSync(join(tmpdir(), "loom-cli-"));
afterAll(() => rmSync(directory, { recursive: true }));

const inDirectory = (name: string) => join(directory, name);
writeFileSync(inDirectory("status.json"), toJson(sampleStatus()));

/** Writes an executable that replaces `tailscale`. */
function command(name: string, script: string, mode = 0o755): string {
  writeFileSync(inDirectory(name), `#!/bin/sh\n${script}\n`, { mode });
  return inDirectory(name);
}

const printStatus = `cat "${inDirectory("status.json")}"`;

describe("cliSource", () => {
  test("runs `status --json` and reads what it prints", async () => {
    const script = `[ "$*" = "status --json" ] && ${printStatus}`;
    const status = await cliSource({ command: command("healthy", script) }).read();
    expect(status).toMatchObject({ source: "cli", self: { name: "forge" } });
  });

  test("is not disturbed by a warning on stderr", async () => {
    const script = `echo 'Warning: client version "1.2" != tailscaled "1.3"' >&2\n${printStatus}`;
    const status = await cliSource({ command: command("warning", script) }).read();
    expect(status.self?.name).toBe("forge");
  });

  test("reads megabytes", async () => {
    const Peer = { k: { ID: "n1", DNSName: "big.", Capabilities: ["x".repeat(3_000_000)] } };
    writeFileSync(inDirectory("big.json"), toJson(sampleStatus({ Peer })));
    const script = `cat "${inDirectory("big.json")}"`;
    const status = await cliSource({ command: command("big", script) }).read();
    expect(status.peers).toMatchObject([{ name: "big" }]);
  });

  test("stops a command that prints without end", async () => {
    const pidFile = inDirectory("endless-pid");
    const source = cliSource({
      command: command("endless", `echo $$ > "${pidFile}"; yes; exec sleep 60`),
      timeoutMs: 20_000,
    });
    await expect(source.read()).rejects.toMatchObject({
      code: "BAD_RESPONSE",
      message: expect.stringContaining("longer than 33554432 bytes"),
    });
    const pid = Number(await readFile(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  }, 20_000);

  test("passes the command to no shell", async () => {
    const injected = inDirectory("injected");
    const source = cliSource({ command: `${inDirectory("healthy")}; touch ${injected}` });
    await expect(source.read()).rejects.toMatchObject({ code: "NOT_INSTALLED" });
    await expect(readFile(injected)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test.for([
    {
      title: "exit code 1 as an absent daemon, with what the command said",
      script: "echo 'failed to connect to local tailscaled' >&2; exit 1",
      failure: {
        code: "DAEMON_ABSENT",
        message: expect.stringContaining("failed to connect to local tailscaled"),
      },
    },
    {
      title: "garbage as no status",
      script: "echo '# Health check: all is well'",
      failure: { code: "BAD_RESPONSE", cause: expect.any(SyntaxError) },
    },
    {
      title: "a command that is killed as a bad response",
      script: "kill -9 $$",
      failure: { code: "BAD_RESPONSE" },
    },
  ])("reports $title", async ({ script, failure }) => {
    const source = cliSource({ command: command("failing", script) });
    await expect(source.read()).rejects.toMatchObject({ source: "cli", ...failure });
  });

  test("reports a missing command as not installed", async () => {
    const source = cliSource({ command: "loom-no-such-tailscale" });
    await expect(source.read()).rejects.toMatchObject({ code: "NOT_INSTALLED" });
  });

  test("reports a file that is not executable as a lack of permission", async () => {
    const source = cliSource({ command: command("plain-file", printStatus, 0o644) });
    await expect(source.read()).rejects.toMatchObject({ code: "NO_PERMISSION" });
  });

  test("reports a command that hangs as a hung daemon", async () => {
    const source = cliSource({ command: command("hung", "exec sleep 60"), timeoutMs: 100 });
    await expect(source.read()).rejects.toMatchObject({
      code: "DAEMON_HUNG",
      message: expect.stringContaining("within 100 ms"),
    });
  });

  /**
   * A script that leaves a process behind, which holds the output after the command ended or was
   * killed.
   */
  const leaveBehind = (name: string) => `setsid sleep 60 & echo $! > "${inDirectory(name)}"`;
  const endLeft = async (name: string) =>
    process.kill(Number(await readFile(inDirectory(name), "utf8")), "SIGKILL");

  test("does not wait for a process that an ended command left behind", async () => {
    const script = `${leaveBehind("left-1")}\n${printStatus}`;
    const begun = performance.now();
    const status = await cliSource({ command: command("leaving", script) }).read();
    expect(performance.now() - begun).toBeLessThan(3_500);
    expect(status.self?.name).toBe("forge");
    await endLeft("left-1");
  });

  test("gives up in time on a command that left half an answer and a process that holds its output", async () => {
    const script = `${leaveBehind("left-2")}\necho '{'`;
    const source = cliSource({ command: command("half", script), timeoutMs: 2_000 });
    await expect(source.read()).rejects.toMatchObject({ code: "BAD_RESPONSE" });
    await endLeft("left-2");
  });

  test("gives up in time on a command that hangs with its children", async () => {
    const script = `${leaveBehind("left-3")}\nsleep 60`;
    const source = cliSource({ command: command("hung-too", script), timeoutMs: 300 });
    const begun = performance.now();
    await expect(source.read()).rejects.toMatchObject({ code: "DAEMON_HUNG" });
    expect(performance.now() - begun).toBeLessThan(2_000);
    await endLeft("left-3");
  });

  test("does not start a command again while an earlier one cannot be killed", async () => {
    const pidFile = inDirectory("stuck-pid");
    const script = `[ -e "${pidFile}" ] && { ${printStatus}; exit; }\necho $$ > "${pidFile}"; exec sleep 60`;
    const source = cliSource({ command: command("stuck", script), timeoutMs: 1_000 });
    const kill = vi.spyOn(ChildProcess.prototype, "kill").mockReturnValue(false);
    onTestFinished(() => void kill.mockRestore());
    await expect(source.read()).rejects.toMatchObject({
      message: expect.stringContaining("within 1000 ms"),
    });
    await expect(source.read()).rejects.toMatchObject({
      code: "DAEMON_HUNG",
      message: expect.stringContaining("cannot be killed"),
    });
    process.kill(Number(await readFile(pidFile, "utf8")), "SIGKILL");
    await expect.poll(() => source.read().then(({ self }) => self?.name)).toBe("forge");
  });

  test("kills the process when the signal aborts, and rejects with its reason", async () => {
    const pidFile = inDirectory("pid");
    const script = `trap '' TERM; echo $$ > "${pidFile}"; exec sleep 60`;
    const stop = new AbortController();
    const source = cliSource({ command: command("stubborn", script), timeoutMs: 30_000 });
    const settled = expect(source.read({ signal: stop.signal })).rejects.toThrow("called off");
    await expect.poll(() => readFile(pidFile, "utf8")).toMatch(/\n/);
    stop.abort(new Error("called off"));
    await settled;
    const pid = Number(await readFile(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  test("starts nothing when the signal has already aborted", async () => {
    const marker = inDirectory("started");
    const source = cliSource({ command: command("marking", `touch "${marker}"`) });
    await expect(source.read({ signal: AbortSignal.abort(new Error("gone")) })).rejects.toThrow(
      "gone",
    );
    await expect(readFile(marker)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("refuses a timeout of zero when it is created", () => {
    expect(() => cliSource({ timeoutMs: 0 })).toThrow(RangeError);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

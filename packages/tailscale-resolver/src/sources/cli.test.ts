import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { sampleStatus, toJson } from "../testing/sample-status.ts";
import { cliSource } from "./cli.ts";

const directory = mkdtempSync(join(tmpdir(), "loom-cli-"));
afterAll(() => rmSync(directory, { recursive: true }));

const inDirectory = (name: string) => join(directory, name);
writeFileSync(inDirectory("status.json"), toJson(sampleStatus()));

/** Writes an executable in place of `tailscale`. */
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
      title: "a command that is killed as no status",
      script: "kill -9 $$",
      failure: { code: "BAD_RESPONSE" },
    },
  ])("reports $title", async ({ script, failure }) => {
    const source = cliSource({ command: command("failing", script) });
    await expect(source.read()).rejects.toMatchObject({ source: "cli", ...failure });
  });

  test("reports a command that is not there as not installed", async () => {
    const source = cliSource({ command: "loom-no-such-tailscale" });
    await expect(source.read()).rejects.toMatchObject({ code: "NOT_INSTALLED" });
  });

  test("reports a file that may not be run as a lack of permission", async () => {
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

  test("kills the process when it is called off, and gives the signal's reason", async () => {
    const pidFile = inDirectory("pid");
    const script = `trap '' TERM; echo $$ > "${pidFile}"; exec sleep 60`;
    const stop = new AbortController();
    const source = cliSource({ command: command("stubborn", script), timeoutMs: 30_000 });
    const settled = expect(source.read({ signal: stop.signal })).rejects.toThrow("called off");
    await expect.poll(() => readFile(pidFile, "utf8"), { timeout: 5_000 }).toMatch(/\n/);
    stop.abort(new Error("called off"));
    await settled;
    const pid = Number(await readFile(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  test("starts nothing for a caller who has already given up", async () => {
    const marker = inDirectory("started");
    const source = cliSource({ command: command("marking", `touch "${marker}"`) });
    await expect(source.read({ signal: AbortSignal.abort(new Error("gone")) })).rejects.toThrow(
      "gone",
    );
    await expect(readFile(marker)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("refuses a timeout of nothing when it is created", () => {
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

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const MAIN = fileURLToPath(new URL("../apps/cli/src/clone.mjs", import.meta.url));

let system: System;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-cli-"));
  system = await startSystem();
  await system.startAgent("pop-os", ["has-gpu"]);
});
afterAll(async () => {
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const start = (...args: string[]): ChildProcess =>
  spawn(process.execPath, ["--conditions=@loom/source", MAIN, ...args], {
    env: {
      PATH: process.env.PATH,
      LOOM_CONFIG_DIR: folder,
      LOOM_URL: system.url,
      LOOM_TOKEN: system.token,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });

async function loom(...args: string[]) {
  const child = start(...args);
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : "",
    child.stderr ? text(child.stderr) : "",
    once(child, "exit"),
  ]);
  return { code, stdout, stderr };
}

test("a run is followed on two machines, and its output and end are those of the steps", async () => {
  const { code, stdout, stderr } = await loom("run", "cross-node-smoke", "--follow");
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toMatch(/^local \| .*local step/m);
  expect(stdout).toMatch(/^remote \| .*remote step .*"node":"pop-os"/m);
  expect(stderr).toMatch(/^remote running on pop-os$/m);
  expect(stderr).toMatch(/^remote succeeded$/m);
  expect(stderr).toMatch(/cross-node-smoke succeeded after /);
});

test("a run that failed ends with 10 and its reason; what failed is repeated", async () => {
  const file = path.join(folder, "there");
  const failed = await loom("run", "breaks", "-i", `file=${file}`, "--wait");
  expect(failed.code).toBe(10);
  expect(failed.stderr).toContain(`step work failed on`);
  expect(failed.stderr).toContain(`${file} is not there`);
  const [, retry = ""] = /try again: loom retry (\S+)/.exec(failed.stderr) ?? [];
  expect((await loom("why", retry)).stdout).toContain(`loom retry ${retry}`);
  writeFileSync(file, "");
  expect((await loom("retry", retry, "--wait")).code).toBe(0);
});

test("why names a command, and the command lets the run go on", async () => {
  await loom("node", "pause", "pop-os", "--note", "lunch");
  const waiting = start("run", "needs-gpu", "--wait");
  await expect
    .poll(async () => (await loom("why", "needs-gpu")).stdout)
    .toContain("fix      loom node resume pop-os");
  expect((await loom("node", "resume", "pop-os")).code).toBe(0);
  expect((await once(waiting, "exit"))[0]).toBe(0);
});

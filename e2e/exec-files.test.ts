import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { buildDashboard } from "@loom/dashboard/build";
import type { JsonValue, PlannedJob } from "@loom/workflow";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { canBrowse, openBrowser } from "./support/browser.ts";
import { logIn } from "./support/dashboard.ts";
import { type System, startSystem } from "./support/system.ts";

const MAIN = fileURLToPath(new URL("../apps/cli/src/clone.mjs", import.meta.url));

let system: System;
let state: string;
/** The folder in which the program runs. */
let here: string;
beforeAll(async () => {
  state = mkdtempSync(path.join(tmpdir(), "loom-exec-files-"));
  const list = path.join(state, "programs");
  writeFileSync(list, "/usr/bin/ls\nfiles out\n", { mode: 0o600 });
  if (canBrowse) await buildDashboard();
  system = await startSystem();
  const env = {
    LOOM_EXEC_ON_HUB: "1",
    LOOM_CODE_KEY: system.codeKey,
    LOOM_HUB_URL: system.url,
    LOOM_STATE_DIR: state,
  };
  await system.startAgent("tower", [], { slots: 4, env: { ...env, LOOM_EXEC: "any" } });
  await system.startAgent("locked", [], { env: { ...env, LOOM_EXEC: list } });
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await system?.stop();
  rmSync(state, { recursive: true, force: true });
});
beforeEach(() => {
  here = mkdtempSync(path.join(tmpdir(), "loom-here-"));
});
afterEach(() => rmSync(here, { recursive: true, force: true }));

const children: ChildProcess[] = [];

async function loom(...args: string[]) {
  const child = spawn(process.execPath, ["--conditions=@loom/source", MAIN, ...args], {
    cwd: here,
    env: {
      PATH: process.env.PATH,
      LOOM_CONFIG_DIR: state,
      LOOM_URL: system.url,
      LOOM_TOKEN: system.token,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code, stdout, stderr };
}

const onTower = (...args: string[]) => loom("exec", "--host", "tower", ...args);
const read = (name: string) => readFileSync(path.join(here, name), "utf8");

/** The folders of attempts on the agent's machine. */
const leftOnTower = () => globSync(`${state}/**/*.files/*`);

test("a folder goes with the command, and what it makes comes back", async () => {
  mkdirSync(path.join(here, "in/deep"), { recursive: true });
  writeFileSync(path.join(here, "in/deep/a.txt"), "one");
  writeFileSync(
    path.join(here, "in/run.sh"),
    "#!/bin/sh\nmkdir -p out/sub; tr a-z A-Z < deep/a.txt > out/sub/b; ln -s sub/b out/l; pwd; echo $PWD\n",
    { mode: 0o755 },
  );
  const ended = await onTower(
    "--in",
    "in",
    "--out",
    "./out/",
    "--out",
    "deep/a.txt",
    "--",
    "./run.sh",
  );
  expect(ended).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^brought back out, deep\/a.txt \(6 B\)$/m),
  });
  expect(read("out/sub/b")).toBe("ONE");
  expect(read("out/l")).toBe("ONE");
  expect(read("deep/a.txt")).toBe("one");
  // It ran in a folder of its own, of which nothing is left, here or there.
  const [cwd = "", pwd] = ended.stdout.trim().split("\n");
  expect(pwd).toBe(cwd);
  expect(existsSync(cwd)).toBe(false);
  expect(leftOnTower()).toEqual([]);
  expect(readdirSync(here).sort()).toEqual(["deep", "in", "out"]);
});

test("a file goes alone, and an output replaces nothing without --force", async () => {
  writeFileSync(path.join(here, "a b"), "text");
  const args = ["--in", "a b", "--out", "made", "--", "sh", "-c", 'mkdir made; cp "a b" made; ls'];
  expect(await onTower(...args)).toMatchObject({ code: 0, stdout: "a b\nmade\n" });
  writeFileSync(path.join(here, "made/mine"), "stays");
  writeFileSync(path.join(here, "made/a b"), "goes");
  const refused = await onTower(...args);
  expect(refused).toMatchObject({ code: 125, stdout: "" });
  expect(refused.stderr).toMatch(/made exists already \[FILE_UNWRITABLE\][\s\S]*--force/);
  expect(read("made/a b")).toBe("goes");
  expect(await onTower("--force", ...args)).toMatchObject({ code: 0 });
  expect([read("made/a b"), read("made/mine")]).toEqual(["text", "stays"]);
  const { body } = await system.call("GET", "/runs?workflow=exec&limit=2");
  expect((body.data as { status: string }[]).map(({ status }) => status)).toEqual([
    "succeeded",
    "succeeded",
  ]);
});

test("a command that fails brings back what it has made, and ends with its own code", async () => {
  const ended = await onTower(
    "--out",
    "log",
    "--out",
    "model",
    "--",
    "sh",
    "-c",
    "echo why > log; exit 7",
  );
  expect(ended).toMatchObject({
    code: 7,
    stderr: expect.stringContaining("the command made no model"),
  });
  expect(read("log")).toBe("why\n");
});

test("a command that ends well without its output fails, and says what is missing", async () => {
  const ended = await onTower(
    "--out",
    "log",
    "--out",
    "results",
    "--",
    "sh",
    "-c",
    "echo why > log",
  );
  expect(ended).toMatchObject({ code: 125, stdout: "" });
  expect(ended.stderr).toMatch(/made no results.*\[EXEC_OUT_MISSING\]/);
  expect(read("log")).toBe("why\n");
});

test("what leads out of the folder is refused, from here and from there", async () => {
  mkdirSync(path.join(here, "in"));
  symlinkSync("/etc/passwd", path.join(here, "in/link"));
  const sent = await onTower("--in", "in", "--", "cat", "link");
  expect(sent).toMatchObject({ code: 125, stdout: "" });
  expect(sent.stderr).toMatch(
    /the link link leads to \/etc\/passwd[\s\S]*put what it leads to in its place/,
  );
  const made = await onTower("--out", "out", "--", "sh", "-c", "ln -s /etc out");
  expect(made).toMatchObject({
    code: 125,
    stderr: expect.stringContaining("[LINK_LEAVES_FOLDER]"),
  });
  for (const out of ["../x", "/tmp/x", "."]) {
    const { code, stderr } = await onTower("--out", out, "--", "true");
    expect(code).toBe(125);
    expect(stderr).toMatch(/FILE_UNWRITABLE|INVALID_INPUT/);
  }
  expect(readdirSync(here)).toEqual(["in"]);
  expect(leftOnTower()).toEqual([]);
});

test("an archive that no loom has made is refused on the machine, and nothing of it runs", async () => {
  const archive = path.join(here, "evil.tgz");
  writeFileSync(path.join(here, "x"), "evil");
  execFileSync("tar", ["-czPf", archive, "--transform", "s,^,../../,", "x"], { cwd: here });
  const content = readFileSync(archive);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const file = { name: "in.tar.gz", size: content.length, sha256 };
  const { body } = await system.call("POST", "/uploads", file);
  const send = (method: string, at: string, part?: Buffer) =>
    fetch(`${system.url}/api/loom/uploads/${body.id}/${at}`, {
      method,
      headers: {
        authorization: `Bearer ${system.token}`,
        ...(part && { "content-type": "application/octet-stream" }),
      },
      ...(part && { body: new Uint8Array(part) }),
    });
  expect((await send("PUT", "parts/0", content)).status).toBe(200);
  expect((await send("POST", "finish")).status).toBe(200);
  const asked = await system.call("POST", "/strands/exec/run", {
    input: { argv: ["cat", "x"], host: "tower", in: file },
  });
  const ended = await loom("attach", String(asked.body.runId));
  expect(ended).toMatchObject({ code: 125, stdout: "" });
  expect(ended.stderr).toContain("[ARCHIVE_UNSAFE]");
});

test("a detached command keeps its output with the run, until somebody follows or downloads it", async () => {
  const started = await onTower("-d", "--out", "made", "--", "sh", "-c", "echo done > made");
  const id = started.stdout.trim();
  const followed = await loom("attach", id);
  expect(followed).toMatchObject({ code: 0, stderr: expect.stringContaining("brought back made") });
  expect(read("made")).toBe("done\n");
  expect(await loom("attach", id)).toMatchObject({
    code: 125,
    stderr: expect.stringContaining("made exists already"),
  });
  expect(await loom("attach", "--no-out", id)).toMatchObject({ code: 0, stderr: "" });
  expect(await loom("attach", "--force", id)).toMatchObject({ code: 0 });
  expect((await loom("files", id)).stdout).toMatch(/^out\.tar\.gz .* command /m);
  expect(await loom("download", id, "out.tar.gz")).toMatchObject({ code: 0 });
  expect(existsSync(path.join(here, "out.tar.gz"))).toBe(true);
});

test("an array shares its input, and its outputs do not meet", async () => {
  writeFileSync(path.join(here, "words"), "a b c");
  const ended = await onTower(
    ...["--in", "words", "--count", "3", "--out", "part"],
    ...["--", "sh", "-c", 'cut -d" " -f$(({index}+1)) words > part; [ {index} != 1 ]'],
  );
  expect(ended.code).toBe(1);
  expect([0, 1, 2].map((index) => read(`part.${index}`))).toEqual(["a\n", "b\n", "c\n"]);
  const swept = await onTower(
    "--sweep",
    "lr=1,2",
    "--out",
    "m-{lr}",
    "--",
    "sh",
    "-c",
    "echo {lr} > m-{lr}",
  );
  expect(swept).toMatchObject({ code: 0 });
  expect([read("m-1"), read("m-2")]).toEqual(["1\n", "2\n"]);
});

test("a list of programs says whether files come and go", async () => {
  const locked = (...args: string[]) => loom("exec", "--host", "locked", ...args);
  mkdirSync(path.join(here, "in"));
  expect(await locked("--out", "x", "--", "ls")).toMatchObject({
    code: 125,
    stderr: expect.stringContaining("[EXEC_OUT_MISSING]"),
  });
  const { stdout } = await locked("-d", "--in", "in", "--", "ls");
  const id = stdout.trim();
  await expect
    .poll(async () => (await loom("why", id)).stdout, { timeout: 60_000 })
    .toContain('no line "files in"');
  await loom("cancel", id);
});

test("files that the hub did not sign for this run are not carried", async () => {
  const job: PlannedJob = {
    ...{ step: "command", after: [], requires: [], host: "tower", prefers: [], priority: 1 },
    ...{ runsAfter: "success", optional: false, skip: "pass", hasCondition: false },
    retry: { attempts: 1, backoff: { kind: "fixed", delayMs: 1, maxDelayMs: 1 } },
    ...{ timeoutMs: 60_000, maxCrashRestarts: 0, startWithinMs: null, concurrency: null },
  };
  const asked = await system.call("POST", "/strands/exec/run", {
    input: { argv: ["true"], host: "tower" },
  });
  const { input } = await system.queue.getRun(String(asked.body.runId));
  const changed = { ...(input as object), out: ["../../.."] } as JsonValue;
  const { runId } = await system.queue.startRun({
    workflow: "exec",
    version: "1",
    input: changed,
    jobs: [job],
  });
  await expect
    .poll(async () => (await system.queue.getRun(runId)).status, { timeout: 60_000 })
    .toBe("failed");
  expect((await system.queue.getRun(runId)).jobs[0]).toMatchObject({
    error: { code: "EXEC_SIGNATURE_REFUSED" },
  });
});

test("a retry has the input again, and --explain sends nothing", async () => {
  writeFileSync(path.join(here, "n"), "");
  const before = (await system.sql`select count(*)::int as n from public.loom_files`)[0]?.n;
  expect(await onTower("--explain", "--in", "missing", "--out", "n", "--", "true")).toMatchObject({
    code: 0,
  });
  expect((await system.sql`select count(*)::int as n from public.loom_files`)[0]?.n).toBe(before);
  expect(await onTower("--in", "missing", "--", "true")).toMatchObject({
    code: 125,
    stderr: expect.stringContaining("[FILE_UNREADABLE]"),
  });
  const { stdout } = await onTower("-d", "--in", "n", "--", "sh", "-c", "ls; exit 3");
  expect(await loom("attach", stdout.trim())).toMatchObject({ code: 3, stdout: "n\n" });
  const again = await system.call("POST", `/runs/${stdout.trim()}/retry`, { mode: "all" });
  expect(await loom("attach", String(again.body.runId))).toMatchObject({ code: 3, stdout: "n\n" });
});

test("Ctrl-C while files are sent leaves nothing of them here, and starts nothing", async () => {
  writeFileSync(path.join(here, "words"), "a b c");
  const temporary = path.join(here, "tmp");
  mkdirSync(temporary);
  // It takes connections, and answers nothing.
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const child = spawn(
    process.execPath,
    ["--conditions=@loom/source", MAIN, "exec", "--in", "words", "--", "true"],
    {
      cwd: here,
      env: {
        PATH: process.env.PATH,
        LOOM_CONFIG_DIR: state,
        LOOM_URL: `http://127.0.0.1:${port}`,
        LOOM_TOKEN: system.token,
        TMPDIR: temporary,
      },
    },
  );
  children.push(child);
  const [socket] = (await once(server, "connection")) as [Socket];
  expect(readdirSync(temporary)).toEqual([expect.stringMatching(/^loom-in-/)]);
  child.kill("SIGINT");
  expect((await once(child, "exit"))[0]).toBe(130);
  expect(readdirSync(temporary)).toEqual([]);
  socket.destroy();
  server.close();
});

describe.skipIf(!canBrowse)("in a browser (Chromium, or CHROMIUM_BIN)", () => {
  test("the run lists its files with their sizes, and downloads them as they are", async () => {
    const noise = randomBytes(3_000_000);
    writeFileSync(path.join(here, "noise"), noise);
    const making = "cat noise noise > made";
    const started = await onTower("-d", "--in", "noise", "--out", "made", "--", "sh", "-c", making);
    const id = started.stdout.trim();
    const browser = await openBrowser();
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 700 } });
      await logIn(page, system);
      await page.getByText("live", { exact: true }).waitFor();
      await page.goto(`${system.url}/runs/${id}`);
      // A file that is stored while the page is open is listed without a reload.
      await page.getByRole("tab", { name: "files" }).click();
      const rows = page.getByRole("row");
      await rows.filter({ hasText: "out.tar.gz" }).waitFor();
      const { body } = await system.call("GET", `/runs/${id}/files`);
      const files = body.data as { name: string; size: number; sha256: string }[];
      expect(files.map(({ name }) => name)).toEqual(["in.tar.gz", "out.tar.gz"]);
      // Noise cannot be packed smaller.
      expect(files[0]?.size).toBeGreaterThan(3_000_000);
      expect(files[1]?.size).toBeGreaterThan(6_000_000);
      const shown = await rows.allInnerTexts();
      expect(shown.slice(1).map((row) => row.split(/[\t\n]+/).slice(0, 3))).toEqual([
        ["in.tar.gz", "2.9 MiB", "input"],
        ["out.tar.gz", "5.7 MiB", "command"],
      ]);
      for (const { name, size, sha256 } of files) {
        const downloading = page.waitForEvent("download");
        await page.getByRole("link", { name }).click();
        const download = await downloading;
        expect(download.suggestedFilename()).toBe(name);
        const content = readFileSync(await download.path());
        expect(content.length).toBe(size);
        expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
      }
    } finally {
      await browser.close();
    }
    const got = path.join(here, "got");
    mkdirSync(got);
    expect(await loom("download", id, "out.tar.gz", "-o", "got/out.tgz")).toMatchObject({
      code: 0,
    });
    execFileSync("tar", ["-xzf", "out.tgz"], { cwd: got });
    expect(readFileSync(path.join(got, "made")).equals(Buffer.concat([noise, noise]))).toBe(true);
  });
});

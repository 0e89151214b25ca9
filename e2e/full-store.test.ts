import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { globSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { limits } from "@loom/workflow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const MAIN = fileURLToPath(new URL("../apps/cli/src/clone.mjs", import.meta.url));
const PART = limits.filePartBytes;

/** The disk of the hub, whose size can be changed. Not everybody may mount one. */
const disk = mkdtempSync(path.join(tmpdir(), "loom-full-"));
const mount = (...args: string[]) => spawnSync("mount", args);
const mayMount = mount("-t", "tmpfs", "-o", "size=2g", "tmpfs", disk).status === 0;

/** Leaves so much room on the disk, beside the 512 MiB that the hub leaves to others. */
const leaveRoom = (bytes: number) => resize(used() + 512 * 2 ** 20 + bytes);
const resize = (bytes: number) => {
  const { status, stderr } = mount("-o", `remount,size=${Math.ceil(bytes / 1_024)}k`, disk);
  if (status !== 0) throw new Error(String(stderr));
};
function used(): number {
  const { blocks, bfree, bsize } = statfsSync(disk);
  return (blocks - bfree) * bsize;
}

let system: System;
let folder: string;
beforeAll(async () => {
  if (!mayMount) return;
  folder = mkdtempSync(path.join(tmpdir(), "loom-full-cli-"));
  system = await startSystem({ hubEnv: { LOOM_STATE_DIR: disk } });
  await system.startAgent("tower", [], {
    env: {
      LOOM_EXEC: "any",
      LOOM_EXEC_ON_HUB: "1",
      LOOM_CODE_KEY: system.codeKey,
      LOOM_HUB_URL: system.url,
    },
  });
});
afterAll(async () => {
  await system?.stop();
  if (mayMount) execFileSync("umount", ["--lazy", disk]);
  rmSync(disk, { recursive: true, force: true });
  if (folder) rmSync(folder, { recursive: true, force: true });
});

async function loom(...args: string[]) {
  const child = spawn(process.execPath, ["--conditions=@loom/source", MAIN, ...args], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      LOOM_CONFIG_DIR: folder,
      LOOM_URL: system.url,
      LOOM_TOKEN: system.token,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code, stdout, stderr };
}

/** Sends one part of an upload. */
async function sendPart(id: unknown, part: number, content: Buffer) {
  const answer = await fetch(`${system.url}/api/loom/uploads/${id}/parts/${part}`, {
    method: "PUT",
    headers: {
      authorization: `Bearer ${system.token}`,
      "content-type": "application/octet-stream",
    },
    body: new Uint8Array(content),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const unfinished = () => globSync(path.join(disk, "files/uploads/*"));
const doctorOnFiles = async () => {
  const { body } = await system.call("GET", "/doctor");
  return (body.checks as { name: string }[]).find(({ name }) => name === "files");
};

describe.skipIf(!mayMount)("a hub whose disk is full", () => {
  test("refuses the part that does not fit, and gives up what it had of the file", async () => {
    const content = randomBytes(2 * PART);
    const sha256 = createHash("sha256").update(content).digest("hex");
    const file = { name: "big", size: content.length, sha256 };
    resize(2 * 2 ** 30);
    const { body: begun } = await system.call("POST", "/uploads", file);
    expect(await sendPart(begun.id, 0, content.subarray(0, PART))).toMatchObject({ status: 200 });
    // The disk fills after the hub has promised the room.
    resize(used() + 2 ** 20);
    expect(await sendPart(begun.id, 1, content.subarray(PART))).toMatchObject({
      status: 507,
      body: { code: "STORE_FULL", hint: expect.stringContaining("free space on the hub's disk") },
    });
    await expect.poll(unfinished).toEqual([]);
    expect(await sendPart(begun.id, 1, content.subarray(PART))).toMatchObject({
      body: { code: "UPLOAD_NOT_FOUND" },
    });
    // It fits when there is room again.
    resize(2 * 2 ** 30);
    const { body: again } = await system.call("POST", "/uploads", file);
    for (const at of [0, 1]) {
      await sendPart(again.id, at, content.subarray(at * PART, (at + 1) * PART));
    }
    expect(await system.call("POST", `/uploads/${again.id}/finish`)).toMatchObject({ status: 200 });
  });

  test("fails the step that stores a file, which says what to do; and the doctor warns", async () => {
    leaveRoom(2 ** 20);
    const args = ["exec", "--host", "tower", "--out", "made", "--"];
    const big = await loom(...args, "sh", "-c", "head -c 3000000 /dev/urandom > made");
    expect(big).toMatchObject({ code: 125, stdout: "" });
    expect(big.stderr).toMatch(
      /the hub's store has no room for the file: free space on the hub's disk.*\[STORE_FULL\]/,
    );
    const { body } = await system.call("GET", "/runs?workflow=exec&limit=1");
    const [run] = body.data as { id: string }[];
    expect((await loom("show", run?.id ?? "")).stdout).toContain("no room for the file");
    expect((await loom("why", run?.id ?? "")).stdout).toMatch(/no room for the file: free space/);
    expect(await doctorOnFiles()).toMatchObject({ status: "warn" });

    // What is small still fits.
    expect(await loom(...args, "sh", "-c", "echo small > made")).toMatchObject({ code: 0 });

    resize(used());
    expect(await loom("exec", "--host", "tower", "--", "echo", "runs")).toMatchObject({
      code: 0,
      stdout: "runs\n",
    });
    const doctor = await loom("doctor");
    expect(doctor.code).toBe(1);
    expect(doctor.stdout).toMatch(
      /store of files[\s\S]*0 MiB[\s\S]*STORE_FULL[\s\S]*LOOM_RETENTION/,
    );
    resize(2 * 2 ** 30);
    expect(await doctorOnFiles()).toMatchObject({ findings: [] });
  });
});

describe.skipIf(!mayMount)("a machine whose disk is full", () => {
  test("fails a command whose files do not fit, and leaves nothing of them", async () => {
    const small = mkdtempSync(path.join(tmpdir(), "loom-small-"));
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", small);
    const env = {
      LOOM_STATE_DIR: small,
      LOOM_EXEC: "any",
      LOOM_EXEC_ON_HUB: "1",
      LOOM_CODE_KEY: system.codeKey,
      LOOM_HUB_URL: system.url,
    };
    const agent = await system.startAgent("small", [], { env });
    try {
      // It fits as an archive, and not unpacked; and the other way round.
      writeFileSync(path.join(folder, "zeros"), Buffer.alloc(20 * 2 ** 20));
      writeFileSync(path.join(folder, "noise"), randomBytes(20 * 2 ** 20));
      for (const name of ["zeros", "noise"]) {
        const ended = await loom("exec", "--host", "small", "--in", name, "--", "ls");
        expect(ended).toMatchObject({ code: 125, stdout: "" });
        expect(ended.stderr).toMatch(/does not fit on this machine's disk.*\[NODE_DISK_FULL\]/);
      }
      const making = "head -c 3000000 /dev/urandom > much";
      const made = await loom("exec", "--host", "small", "--out", "much", "--", "sh", "-c", making);
      expect(made).toMatchObject({ code: 125 });
      expect(made.stderr).toMatch(
        /archive of --out does not fit.*free space below .*NODE_DISK_FULL/,
      );
      expect(globSync(path.join(small, "*.files/*"))).toEqual([]);
      const after = await loom("exec", "--host", "small", "--out", "a", "--", "touch", "a");
      expect(after).toMatchObject({ code: 0 });
    } finally {
      await agent.stop();
      execFileSync("umount", ["--lazy", small]);
      rmSync(small, { recursive: true });
    }
  });
});

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("programs/full-disk.ts", import.meta.url));

/** A mount of its own, seen by nobody else: as root, or as root of a user namespace. */
const UNSHARE = ["--user", "--map-root-user", "--mount"];
const mayMount =
  spawnSync("unshare", [...UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0;

test.skipIf(!mayMount)("a full disk is reported clearly, harms no entry, and is got over", () => {
  const disk = mkdtempSync(path.join(tmpdir(), "loom-disk-"));
  onTestFinished(() => rmSync(disk, { recursive: true }));
  const script =
    'mount -t tmpfs -o size=200k tmpfs "$1" && exec "$2" --conditions=@loom/source "$3" "$1"';
  const args = [...UNSHARE, "sh", "-c", script, "sh", disk, process.execPath, PROGRAM];
  const reported = JSON.parse(execFileSync("unshare", args, { encoding: "utf8" }));
  expect(reported).toEqual({
    code: "JOURNAL_UNWRITABLE",
    message: expect.stringMatching(/ENOSPC.*free disk space/),
    left: [],
    ids: [1, 3],
  });
});

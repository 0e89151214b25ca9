import { chmodSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { removeFolder } from "./attempt-files.ts";

/** Does something as a user who is no root, whom permissions do not stop. */
async function asUser<Result>(work: () => Promise<Result>): Promise<Result> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

test("a folder goes with the folders in it that nobody may read or write to, and not with what links lead to", async () => {
  const folder = await asUser(async () => {
    const made = mkdtempSync(path.join(tmpdir(), "loom-remove-"));
    for (const name of ["mod/cache", "shut/in", "kept"]) {
      mkdirSync(path.join(made, name), { recursive: true });
      writeFileSync(path.join(made, name, "file"), "x");
    }
    symlinkSync("../kept", path.join(made, "mod/link"));
    chmodSync(path.join(made, "kept"), 0o500);
    for (const name of ["mod/cache", "mod"]) chmodSync(path.join(made, name), 0o555);
    for (const name of ["shut/in", "shut"]) chmodSync(path.join(made, name), 0o000);
    const inMod = path.join(made, "mod");
    await expect(rm(inMod, { recursive: true, force: true })).rejects.toThrow("EACCES");
    await removeFolder(inMod);
    await removeFolder(path.join(made, "shut"));
    return made;
  });
  try {
    expect(existsSync(path.join(folder, "mod"))).toBe(false);
    expect(existsSync(path.join(folder, "shut"))).toBe(false);
    expect(existsSync(path.join(folder, "kept/file"))).toBe(true);
    await asUser(() => removeFolder(folder));
    expect(existsSync(folder)).toBe(false);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

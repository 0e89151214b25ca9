import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Endpoint, findEndpoints, type Host } from "./endpoint.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "loom-endpoint-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function find(host: Partial<Host>, signal = new AbortController().signal) {
  const found: Endpoint[] = [];
  const defaults = { platform: "darwin", uid: 501, lsof: join(directory, "lsof") } as const;
  const all = { ...defaults, sharedDirectory: directory, ...host };
  for await (const endpoint of findEndpoints(signal, all)) found.push(endpoint);
  return found;
}

/** Writes a script that replaces lsof. */
async function writeLsof(script: string): Promise<void> {
  await writeFile(join(directory, "lsof"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const socket = { socketPath: "/var/run/tailscaled.socket" };

describe("findEndpoints", () => {
  test("knows Linux's socket", async () => {
    expect(await find({ platform: "linux" })).toEqual([
      { socketPath: "/var/run/tailscale/tailscaled.sock" },
    ]);
  });

  test("knows Windows' pipe", async () => {
    expect(await find({ platform: "win32" })).toEqual([
      { socketPath: "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\Tailscale\\tailscaled" },
    ]);
  });

  test("finds the open-source daemon of macOS when there is no app", async () => {
    expect(await find({})).toEqual([socket]);
  });

  test("tries the App Store's app first, whose open file has the port and password in its name", async () => {
    await writeLsof(`[ "$*" = "-n -a -u501 -c IPNExtension -F" ] || exit 2
echo p812; echo cIPNExtension; echo f5; echo n/dev/null
echo f9; echo 'n/Users/ada/Library/Group Containers/X.io.tailscale.ipn.macos/sameuserproof-49161-2f8e0aa41'
exit 1`);
    expect(await find({})).toEqual([{ port: 49161, token: "2f8e0aa41" }, socket]);
  });

  test("tries the standalone app next, whose link holds the port", async () => {
    await writeLsof("exit 1");
    await symlink("50002", join(directory, "ipnport"));
    await writeFile(join(directory, "sameuserproof-50002"), "77aa01\n");
    expect(await find({})).toEqual([{ port: 50002, token: "77aa01" }, socket]);
  });

  test("skips a link without its password file", async () => {
    await symlink("50002", join(directory, "ipnport"));
    expect(await find({})).toEqual([socket]);
  });

  test("skips a link that does not hold a port", async () => {
    await symlink("latest", join(directory, "ipnport"));
    await writeFile(join(directory, "sameuserproof-latest"), "77aa01\n");
    expect(await find({})).toEqual([socket]);
  });

  test("reports that only admins may read the password", async () => {
    await symlink("50002", join(directory, "ipnport"));
    await writeFile(join(directory, "sameuserproof-50002"), "77aa01\n", { mode: 0o600 });
    await chmod(directory, 0o755);
    // File modes do not restrict root, so root checks as nobody.
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65534);
    else await chmod(join(directory, "sameuserproof-50002"), 0);
    try {
      await expect(find({})).rejects.toMatchObject({ code: "EACCES" });
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  test("does not wait for a hung command after the signal aborted", async () => {
    await writeLsof("exec sleep 60");
    const stop = new AbortController();
    const found = find({}, stop.signal);
    stop.abort(new Error("no time"));
    await expect(found).rejects.toThrow("no time");
  });
});

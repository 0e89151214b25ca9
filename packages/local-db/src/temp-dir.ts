import { randomBytes } from "node:crypto";
import { chown, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, canEnter } from "./process/account.ts";
import { hold } from "./process/custody.ts";

// The path of a socket may have 103 bytes on macOS and 107 on Linux. Ours add up to 41.
const MAX_ROOT_BYTES = 60;

export interface TempDir {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * Creates a private directory that does not outlive this process. Its path is short enough for
 * sockets.
 *
 * @param account - The owner, if it is not this process's user.
 */
export async function createTempDir(account: Account | undefined): Promise<TempDir> {
  const isUsable =
    Buffer.byteLength(tmpdir()) <= MAX_ROOT_BYTES && (!account || canEnter(tmpdir(), account));
  const path = join(isUsable ? tmpdir() : "/tmp", `loom-${randomBytes(6).toString("hex")}`);
  const letGo = await hold({ kind: "directory", path });
  const remove = async () => {
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
    letGo();
  };
  try {
    await mkdir(path, { mode: 0o700 });
    if (account) await chown(path, account.uid, account.gid);
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, remove };
}

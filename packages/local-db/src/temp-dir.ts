import { randomBytes } from "node:crypto";
import { chown, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, canEnter } from "./account.ts";
import { hold } from "./custody.ts";

// A socket's path has at most 103 bytes on macOS and 107 on Linux; ours add up to 41.
const MAX_ROOT_BYTES = 60;

export interface TempDir {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * Creates a private directory with a path short enough for sockets, which does not outlive this process.
 *
 * @param account - Whom it belongs to, if not this process' user.
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

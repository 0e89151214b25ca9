import { existsSync } from "node:fs";
import { chmod, readdir, rm } from "node:fs/promises";
import path from "node:path";
import type { Log } from "../log.ts";
import { FileError, type FileHolder, type FileTransfer } from "./file-transfer.ts";
import type { FileReply, FileWish } from "./step-files.ts";

/** The files of one attempt, on the side of the agent. */
export interface AttemptFiles {
  /** Where the attempt has files while it runs. It may not exist. */
  readonly folder: string;
  /** Does what the step asks for. Never fails. */
  ask(wish: FileWish): Promise<FileReply>;
  /** Whether the attempt has asked for a file. */
  readonly isUsed: boolean;
  /** Ends what is still carried, and removes the folder. */
  close(): Promise<void>;
}

/** @param options.signal - Aborts with the attempt. */
export function openAttemptFiles(
  holder: FileHolder,
  {
    transfer,
    folder,
    signal,
    log,
  }: { transfer: FileTransfer; folder: string; signal: AbortSignal; log: Log },
): AttemptFiles {
  const over = new AbortController();
  const carrying = new Set<Promise<unknown>>();
  let until: { signal: AbortSignal } | undefined;

  async function fulfil(wish: FileWish): Promise<FileReply> {
    // Most attempts have no files, and leave no listener.
    until ??= { signal: AbortSignal.any([signal, over.signal]) };
    try {
      if (wish.kind === "put") return { file: await transfer.put(holder, wish, until) };
      await transfer.get(holder, wish.ref, wish.to, until);
      return { file: null };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (!(error instanceof FileError)) log.warn({ err: error }, "a file was not carried");
      return { error: { code: code ?? "FILE_NOT_CARRIED", message } };
    }
  }

  return {
    folder,
    get isUsed() {
      return until !== undefined;
    },
    async ask(wish) {
      const fulfilling = fulfil(wish);
      carrying.add(fulfilling);
      try {
        return await fulfilling;
      } finally {
        carrying.delete(fulfilling);
      }
    },
    async close() {
      over.abort(new FileError("ATTEMPT_OVER", "the attempt is over"));
      await Promise.all(carrying);
      // The end of most attempts waits for this, and they have no folder.
      if (!existsSync(folder)) return;
      await removeFolder(folder).catch((error: unknown) =>
        log.warn({ folder, err: error }, "files of an attempt are left behind"),
      );
    },
  };
}

/**
 * Removes a folder and everything in it, also from folders that nobody may write to: commands leave such ones, as Go does with
 * the modules that it fetches.
 */
export async function removeFolder(folder: string): Promise<void> {
  const remove = () => rm(folder, { recursive: true, force: true });
  await remove().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EACCES" && error.code !== "EPERM") throw error;
    await openFolders(folder);
    await remove();
  });
}

/** What cannot be opened is left to the removal, whose error says why. */
async function openFolders(folder: string): Promise<void> {
  await chmod(folder, 0o700).catch(() => {});
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await openFolders(path.join(folder, entry.name));
  }
}

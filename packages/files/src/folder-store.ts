import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  statfs,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { isDiskFull } from "@loom/worker";
import { checkObjectId, type FileStore, type ObjectWriter, StoreError } from "./store.ts";

/** What is left on the disk for others: the database of the hub is on it too. */
const RESERVE_BYTES = 536_870_912;

/**
 * Opens a store in a folder, which it makes if it does not exist. One hub uses it at a time: what an earlier one began and did
 * not finish is removed.
 *
 * @throws The system's error when the folder cannot be used.
 */
export async function openFolderStore(
  folder: string,
  { reserveBytes = RESERVE_BYTES }: { reserveBytes?: number } = {},
): Promise<FileStore> {
  const uploads = path.join(folder, "uploads");
  await rm(uploads, { recursive: true, force: true });
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  const id = `folder:${await keepId(path.join(folder, "store-id"))}`;

  /** Objects are spread over folders, because a folder with very many files is slow. */
  const placeOf = (object: string): string => {
    checkObjectId(object);
    return path.join(folder, "objects", object.slice(0, 2), object);
  };
  const uploadOf = (object: string): string => {
    checkObjectId(object);
    return path.join(uploads, object);
  };

  return {
    id,

    async free() {
      const { bavail, bsize } = await statfs(folder).catch((error: Error) => {
        throw toStoreError(error, folder);
      });
      return Math.max(0, bavail * bsize - reserveBytes);
    },

    async open(object) {
      const file = uploadOf(object);
      try {
        await rm(file, { force: true });
        return createWriter(await open(file, "wx", 0o600), { file, to: placeOf(object) });
      } catch (error) {
        throw toStoreError(error as Error, folder);
      }
    },

    async read(object, { from, signal }) {
      // It is opened here, so that one that is removed meanwhile can be read to its end.
      const handle = await open(placeOf(object), "r").catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw toStoreError(error, folder);
        throw new StoreError("FILE_GONE", "the file is not in the hub's folder any more");
      });
      return createReadStream("", { fd: handle, start: from, signal, highWaterMark: 262_144 });
    },

    async remove(object) {
      await rm(placeOf(object), { force: true });
      await rm(uploadOf(object), { force: true });
    },
  };
}

function createWriter(
  handle: FileHandle,
  { file, to }: { file: string; to: string },
): ObjectWriter {
  let position = 0;
  let isNamed = false;
  let isDone = false;
  return {
    async write(part) {
      try {
        for (let at = 0; at < part.length; ) {
          const { bytesWritten } = await handle.write(part, at, part.length - at, position + at);
          at += bytesWritten;
        }
        position += part.length;
      } catch (error) {
        throw toStoreError(error as Error, file);
      }
    },
    async finish() {
      if (isDone) return;
      try {
        await handle.sync();
        await mkdir(path.dirname(to), { recursive: true, mode: 0o700 });
        // It may have its name already, and the folder have failed to be written.
        if (!isNamed) await rename(file, to);
        isNamed = true;
        await syncFolder(path.dirname(to));
        isDone = true;
        await handle.close();
      } catch (error) {
        throw toStoreError(error as Error, file);
      }
    },
    async abort() {
      if (isDone) return;
      isDone = true;
      await handle.close().catch(() => {});
      await rm(isNamed ? to : file, { force: true });
    },
  };
}

/** The name of the new file is on disk as well from here on. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The id of the folder, made the first time. It moves with the folder. */
async function keepId(file: string): Promise<string> {
  await writeFile(file, `${randomUUID()}\n`, { flag: "wx", mode: 0o600 }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  return (await readFile(file, "utf8")).trim();
}

function toStoreError(cause: NodeJS.ErrnoException, place: string): StoreError {
  return isDiskFull(cause) || cause.code === "EFBIG"
    ? storeFull({ cause })
    : new StoreError(
        "STORE_UNAVAILABLE",
        `the hub's folder for files cannot be used (${cause.code ?? cause.message} at ${place})`,
        { cause },
      );
}

/** The hub's disk has no room for a file. */
export const storeFull = (options?: ErrorOptions): StoreError =>
  new StoreError(
    "STORE_FULL",
    "the hub's store has no room for the file: free space on the hub's disk, lower LOOM_RETENTION, or give the hub a bucket (docs/files.md)",
    options,
  );

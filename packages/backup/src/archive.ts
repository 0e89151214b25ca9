import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { BackupError } from "./errors.ts";
import { TAR_BLOCK, TAR_END, tarHeader, tarPadding } from "./tar.ts";

/** No part that this program writes is larger, so a damaged header cannot ask for more memory. */
const MAX_PART_BYTES = 64 * 1024 * 1024;

/** The size and SHA-256 of a part. */
export interface PartDigest {
  bytes: number;
  sha256: string;
}

export const digestOf = (data: Buffer): PartDigest => ({
  bytes: data.length,
  sha256: createHash("sha256").update(data).digest("hex"),
});

/**
 * Writes a gzipped tar that only its owner can read. The file gets its name when it is complete. Until then, and after
 * a failure, an existing file of that name is unchanged.
 *
 * @param write - Adds the parts, one after the other.
 * @throws BackupError when the file cannot be written, and the errors of `write`.
 */
export async function writeArchive<Result>(
  file: string,
  write: (add: (name: string, data: Buffer) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const partial = `${file}.partial-${process.pid}`;
  const gzip = createGzip({ level: 4 });
  const output = createWriteStream(partial, { flags: "wx", mode: 0o600 });
  // The pipeline's own error may say only that a stream was closed.
  let failure: NodeJS.ErrnoException | undefined;
  output.once("error", (error) => {
    failure = error;
  });
  const written = pipeline(gzip, output);
  written.catch(() => {});
  const push = async (data: Buffer) => {
    if (failure) throw failure;
    if (!gzip.write(data)) await Promise.race([once(gzip, "drain"), written]);
  };
  try {
    const result = await write(async (name, data) => {
      await push(tarHeader(name, data.length, 0o600));
      await push(data);
      await push(tarPadding(data.length));
    });
    gzip.end(TAR_END);
    await written;
    {
      await using handle = await open(partial, "r+");
      await handle.sync();
    }
    await rename(partial, file);
    return result;
  } catch (error) {
    const cause = failure;
    gzip.destroy();
    await written.catch(() => {});
    await rm(partial, { force: true });
    throw cause ? unwritable(file, cause) : error;
  }
}

function unwritable(file: string, cause: NodeJS.ErrnoException): BackupError {
  const reason =
    cause.code === "ENOSPC" ? `there is no space left in ${path.dirname(file)}` : cause.message;
  return new BackupError(`${file} cannot be written: ${reason}. Nothing is left of it.`, { cause });
}

/**
 * Reads the parts of a gzipped tar in their order.
 *
 * @throws BackupError when the file is no archive, is cut off or is damaged.
 */
export async function* readArchive(file: string): AsyncGenerator<{ name: string; data: Buffer }> {
  const source = createReadStream(file);
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  const bytes = createByteQueue();
  let part: { name: string; size: number } | undefined;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      bytes.push(chunk);
      for (;;) {
        if (!part) {
          const block = bytes.take(TAR_BLOCK);
          if (!block) break;
          part = readHeader(block);
          // Blocks of zeros end it.
          if (!part) return;
        }
        const padded = bytes.take(part.size + tarPadding(part.size).length);
        if (!padded) break;
        yield { name: part.name, data: padded.subarray(0, part.size) };
        part = undefined;
      }
    }
  } catch (error) {
    if (error instanceof BackupError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "EISDIR") {
      throw new BackupError(`${file} cannot be read: ${message}`, { cause: error });
    }
    throw damaged(file, error);
  } finally {
    source.destroy();
    gunzip.destroy();
  }
  throw damaged(file);
}

/** Collects chunks and returns their bytes in other sizes. It copies each byte once. */
function createByteQueue() {
  const chunks: Buffer[] = [];
  let length = 0;
  return {
    push(chunk: Buffer) {
      chunks.push(chunk);
      length += chunk.length;
    },
    /** Undefined while there are fewer bytes. */
    take(size: number): Buffer | undefined {
      if (length < size) return undefined;
      const taken: Buffer[] = [];
      let missing = size;
      while (missing > 0) {
        const first = chunks.shift();
        if (!first) break;
        taken.push(first.subarray(0, missing));
        if (first.length > missing) chunks.unshift(first.subarray(missing));
        missing -= Math.min(missing, first.length);
      }
      length -= size;
      return Buffer.concat(taken, size);
    },
  };
}

/** The error for a file that `loom-hub backup` did not write completely. */
export const damaged = (file: string, cause?: unknown): BackupError =>
  new BackupError(
    `${file} is no complete backup: it is cut off, damaged, or another file. Nothing was restored.`,
    { cause },
  );

function readHeader(block: Buffer): { name: string; size: number } | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const text = (start: number, length: number) =>
    block.toString("latin1", start, start + length).split("\0", 1)[0] ?? "";
  const size = Number.parseInt(text(124, 12), 8);
  if (text(257, 5) !== "ustar" || !(size >= 0 && size <= MAX_PART_BYTES)) throw new Error("no tar");
  return { name: text(0, 100), size };
}

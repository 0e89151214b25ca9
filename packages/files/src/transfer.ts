// Carries a file over a connection that may break, from and to a path of this machine.
import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import {
  FileError,
  type FileHolder,
  type FileTransfer,
  isDiskFull,
  type Log,
  sleep,
} from "@loom/worker";
import { type FileRef, limits, unfinishedNameOf } from "@loom/workflow";

/** The hub, as a sender and reader of files sees it. */
export interface FileConnection<Holder> {
  /**
   * Begins an upload, or goes on with one.
   *
   * @returns The upload and its next part; null when the file is there already.
   * @throws FileError; {@link ConnectionError} when it is worth another try.
   */
  begin(holder: Holder, file: FileRef): Promise<{ id: string; next: number } | null>;
  part(id: string, at: number, content: Uint8Array, signal: AbortSignal): Promise<void>;
  finish(id: string): Promise<void>;
  /** Reads a file from a byte on. */
  read(
    holder: Holder,
    file: FileRef,
    options: { from: number; signal: AbortSignal },
  ): Promise<AsyncIterable<Uint8Array>>;
}

/** No answer came, or one that says to come back. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  /** Another answer is not to be expected before this time has passed, in milliseconds. */
  readonly afterMs: number;
  constructor(
    message: string,
    { afterMs = 0, ...options }: ErrorOptions & { afterMs?: number } = {},
  ) {
    super(message, options);
    this.afterMs = afterMs;
  }
}

/** Tries in a row without any progress. With the pauses between them they last about two minutes. */
const TRIES = 12;
const LONGEST_PAUSE_MS = 15_000;
/** How often a whole upload, or a file that arrived wrong, is begun anew. */
const RESTARTS = 3;

/** Creates a transfer over a connection. */
export function createFileTransfer(
  connection: FileConnection<FileHolder>,
  { log }: { log: Log },
): FileTransfer {
  return {
    async put(holder, { name, path: file }, { signal }) {
      const facts = { name, ...(await measure(file, signal)) };
      await sendFile(connection, { holder, facts, file }, { signal, log });
      return { name, size: facts.size, sha256: facts.sha256 };
    },
    get: (holder, ref, to, { signal }) =>
      fetchFile(connection, { holder, ref, to }, { signal, log }),
  };
}

/**
 * Sends a file. It begins anew where the hub has forgotten the upload, and goes on where it has not.
 *
 * @throws FileError, or the signal's reason.
 */
export async function sendFile<Holder>(
  connection: FileConnection<Holder>,
  { holder, facts, file }: { holder: Holder; facts: FileRef; file: string },
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<void> {
  const attempts = createAttempts({ signal, log });
  const parts = Math.ceil(facts.size / limits.filePartBytes);
  await using handle = await openSource(file);
  const buffer = Buffer.allocUnsafe(Math.min(limits.filePartBytes, facts.size));
  for (let restarts = 0; ; restarts += 1) {
    const upload = await attempts.run(() => connection.begin(holder, facts));
    if (upload === null) return;
    try {
      for (let at = upload.next; at < parts; at += 1) {
        const content = await readPart(handle, buffer, at, facts);
        await attempts.run(() => connection.part(upload.id, at, content, signal));
        attempts.progress();
      }
      return await attempts.run(() => connection.finish(upload.id));
    } catch (error) {
      if (!(error instanceof FileError) || !LOST.has(error.code) || restarts >= RESTARTS) {
        throw changed(error);
      }
      log.warn({ err: error }, "the hub lost an upload: it begins again");
    }
  }
}

/** The hub was started again, or gave the upload up. */
const LOST = new Set(["UPLOAD_NOT_FOUND", "PART_OUT_OF_ORDER"]);

const changed = (error: unknown): unknown =>
  error instanceof FileError && error.code === "FILE_DIGEST_MISMATCH"
    ? new FileError(
        "FILE_CHANGED",
        "the file changed while it was sent: store it when it is complete",
      )
    : error;

/** Reads size and digest of a file. */
export async function measure(
  file: string,
  signal: AbortSignal,
): Promise<{ size: number; sha256: string }> {
  await using handle = await openSource(file);
  const { size } = await handle.stat();
  if (size > limits.fileBytes) {
    throw new FileError(
      "FILE_TOO_LARGE",
      `${file} holds ${size} bytes, of at most ${limits.fileBytes}: divide it into several files`,
    );
  }
  const hash = createHash("sha256");
  let read = 0;
  const content = createReadStream("", {
    fd: handle.fd,
    autoClose: false,
    start: 0,
    signal,
    highWaterMark: 1_048_576,
  });
  for await (const chunk of content as AsyncIterable<Buffer>) {
    read += chunk.length;
    if (read > limits.fileBytes) break;
    hash.update(chunk);
  }
  if (read !== size) throw changed(new FileError("FILE_DIGEST_MISMATCH", file));
  return { size, sha256: hash.digest("hex") };
}

async function openSource(file: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // To open a named pipe would wait for its writer, and hold one of the few threads that all files and names of the agent share.
    handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    if ((await handle.stat()).isFile()) return handle;
  } catch (cause) {
    throw new FileError(
      "FILE_UNREADABLE",
      `${file} cannot be read (${(cause as NodeJS.ErrnoException).code}): give the path of a file`,
      { cause },
    );
  }
  await handle.close();
  throw new FileError("FILE_UNREADABLE", `${file} is no file: to store a folder, pack it first`);
}

async function readPart(
  handle: FileHandle,
  buffer: Buffer,
  at: number,
  { size }: FileRef,
): Promise<Buffer> {
  const start = at * limits.filePartBytes;
  const length = Math.min(limits.filePartBytes, size - start);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, start + filled);
    if (bytesRead === 0) throw new FileError("FILE_DIGEST_MISMATCH", "the file became shorter");
    filled += bytesRead;
  }
  return buffer.subarray(0, length);
}

/**
 * Fetches a file to a path, checks it, and gives it its name then. It goes on where a connection broke.
 *
 * @throws FileError, or the signal's reason.
 */
export async function fetchFile<Holder>(
  connection: Pick<FileConnection<Holder>, "read">,
  { holder, ref, to }: { holder: Holder; ref: FileRef; to: string },
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<void> {
  const attempts = createAttempts({ signal, log });
  const unfinished = path.join(path.dirname(to), unfinishedNameOf(path.basename(to)));
  try {
    await mkdir(path.dirname(to), { recursive: true });
    await using handle = await open(unfinished, "wx", 0o600);
    for (let restarts = 0; ; restarts += 1) {
      const digest = await receive(connection, { holder, ref, handle }, { attempts, signal });
      if (digest === ref.sha256) break;
      if (restarts >= RESTARTS) {
        throw new FileError(
          "FILE_DIGEST_MISMATCH",
          `what arrived of ${ref.name} has another SHA-256 than the file: look at the hub's disk, or at what is between it and this machine`,
        );
      }
      await handle.truncate(0);
    }
    await rename(unfinished, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") await rm(unfinished, { force: true });
    if (isDiskFull(error)) {
      throw new FileError("NODE_DISK_FULL", `${ref.name} does not fit on this machine's disk`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function receive<Holder>(
  connection: Pick<FileConnection<Holder>, "read">,
  { holder, ref, handle }: { holder: Holder; ref: FileRef; handle: FileHandle },
  { attempts, signal }: { attempts: Attempts; signal: AbortSignal },
): Promise<string> {
  const hash: Hash = createHash("sha256");
  let received = 0;
  await attempts.run(async () => {
    if (received === ref.size && received > 0) return;
    const content = await connection.read(holder, ref, { from: received, signal });
    try {
      for await (const chunk of content) {
        // A longer answer is none of this file.
        if (received + chunk.length > ref.size) break;
        await handle.write(chunk, 0, chunk.length, received);
        hash.update(chunk);
        received += chunk.length;
        attempts.progress();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isDiskFull(error) || error instanceof FileError) throw error;
      throw new ConnectionError(`the file broke off after ${received} bytes`, { cause: error });
    }
    if (received < ref.size) {
      throw new ConnectionError(`the file broke off after ${received} bytes`);
    }
  });
  return hash.digest("hex");
}

interface Attempts {
  /** Repeats a call while its connection breaks. */
  run<Result>(call: () => Promise<Result>): Promise<Result>;
  /** Something has arrived: the count of tries begins anew. */
  progress(): void;
}

function createAttempts({ signal, log }: { signal: AbortSignal; log: Log }): Attempts {
  let failed = 0;
  return {
    progress() {
      failed = 0;
    },
    async run(call) {
      for (;;) {
        signal.throwIfAborted();
        try {
          return await call();
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof ConnectionError)) throw error;
          failed += 1;
          if (failed >= TRIES) {
            throw new FileError(
              "HUB_UNREACHABLE",
              `the hub did not take or give the file in ${TRIES} tries (${error.message}): see whether it runs, and whether this machine reaches it`,
              { cause: error },
            );
          }
          log.debug({ err: error, failed }, "a file waits for the hub");
          const pauseMs = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failed) * (0.5 + Math.random() / 2);
          await sleep(Math.max(pauseMs, error.afterMs), { signal });
        }
      }
    },
  };
}

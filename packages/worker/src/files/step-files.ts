// ctx.files of a step: what it asks of its agent, which has the key and the connection.
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type FileRef, isFileRef, limits, problemOfFileName, type StepFiles } from "@loom/workflow";
import { createPlaces } from "../wait.ts";
import { FileError, isDiskFull, nodeDiskFull } from "./file-transfer.ts";

/** What a step asks for. */
export type FileWish =
  | { kind: "put"; name: string; path: string }
  | { kind: "get"; ref: FileRef; to: string };

/** How a wish ended: with a file that is stored, with nothing more to say, or with an error. */
export type FileReply = { file: FileRef | null } | { error: { code: string; message: string } };

/** Files of an attempt that are carried at a time. */
const AT_ONCE = 4;

/**
 * Makes the files of a step's context.
 *
 * @param options.folder - The attempt's own folder for files, which may not exist yet. It goes with the attempt.
 * @param options.ask - Carries a wish to where the connection is. Never fails.
 */
export function createStepFiles({
  folder,
  ask,
  signal,
}: {
  folder: string;
  ask: (wish: FileWish) => Promise<FileReply>;
  signal: AbortSignal;
}): StepFiles {
  const take = createPlaces({ most: AT_ONCE });
  /** A path in a folder of its own, so that files of one name do not meet. */
  const placeFor = async (name: string): Promise<string> => {
    const place = path.join(folder, randomUUID());
    await mkdir(place, { recursive: true, mode: 0o700 });
    return path.join(place, name);
  };
  const fulfil = async (wish: FileWish): Promise<FileRef | null> => {
    signal.throwIfAborted();
    const reply = await take(() => ask(wish));
    if ("file" in reply) return reply.file;
    signal.throwIfAborted();
    throw new FileError(reply.error.code, reply.error.message);
  };

  const put: StepFiles["put"] = async (name, content) => {
    const problem = problemOfFileName(String(name));
    if (problem !== undefined) {
      throw new FileError(
        "FILE_NAME_INVALID",
        `the file's name ${problem}: use a plain name, such as report.pdf`,
      );
    }
    const isPath = typeof content === "string";
    const source = isPath ? path.resolve(content) : await placeFor(name);
    try {
      if (!isPath) await spool(content, source, signal);
      const file = await fulfil({ kind: "put", name, path: source });
      if (file === null) throw new FileError("FILE_NOT_STORED", "the agent stored no file");
      return file;
    } finally {
      if (!isPath) {
        await rm(path.dirname(source), { recursive: true, force: true });
        // It stays where another file is in it.
        await rmdir(folder).catch(() => {});
      }
    }
  };

  async function get(
    ref: FileRef,
    { to, as = "path" }: { to?: string; as?: "path" | "stream" } = {},
  ): Promise<string | AsyncIterable<Uint8Array>> {
    if (!isFileRef(ref)) {
      throw new FileError(
        "FILE_NOT_FOUND",
        "this value is no file: pass what ctx.files.put returned, or a value with its name, size and sha256",
      );
    }
    const place = to === undefined ? await placeFor(ref.name) : path.resolve(to);
    await fulfil({
      kind: "get",
      ref: { name: ref.name, size: ref.size, sha256: ref.sha256 },
      to: place,
    });
    return as === "stream" ? createReadStream(place) : place;
  }
  return { put, get: get as StepFiles["get"] };
}

/** Writes bytes or a stream to a file, so that it can be read again when the connection breaks. */
async function spool(
  content: Uint8Array | AsyncIterable<Uint8Array | string>,
  to: string,
  signal: AbortSignal,
): Promise<void> {
  let size = 0;
  const counted = async function* (source: AsyncIterable<Uint8Array | string>) {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > limits.fileBytes) throw tooLarge();
      yield chunk;
    }
  };
  const source =
    content instanceof Uint8Array ? Readable.from([Buffer.from(content)]) : Readable.from(content);
  try {
    await pipeline(source, counted, createWriteStream(to, { flags: "wx", mode: 0o600 }), {
      signal,
    });
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    throw nodeDiskFull("the file", path.dirname(path.dirname(to)), error);
  }
}

const tooLarge = (): FileError =>
  new FileError(
    "FILE_TOO_LARGE",
    `a file holds at most ${limits.fileBytes} bytes: divide it into several files`,
  );

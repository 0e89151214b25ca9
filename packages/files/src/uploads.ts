// The uploads under way at a hub: parts come in order, go to the store, and are hashed on the way.
import { createHash, type Hash } from "node:crypto";
import type { Queue } from "@loom/queue";
import { createPlaces, FileError, type Log } from "@loom/worker";
import { type FileRef, limits } from "@loom/workflow";
import { storeFull } from "./folder-store.ts";
import { type FileStore, type ObjectWriter, StoreError } from "./store.ts";

/** An upload without a part for this long is given up. */
const IDLE_MS = 600_000;
/** Uploads under way at one hub, and of one sender. */
const UPLOADS = 256;
const UPLOADS_EACH = 32;
/** Parts in memory at a time, and those of one sender: one on a slow line leaves room for others. The rest wait. */
const PARTS_AT_ONCE = 16;
const PARTS_EACH = 4;

/** The uploads of a hub. */
export interface Uploads {
  /**
   * Opens an upload that the database has begun, or goes on with it.
   *
   * @param sender - Whom the database gave the upload to: a node's is another one after a change of its key. Only the last one may
   *   go on.
   * @returns The number of the next part, from 0.
   * @throws FileError `TOO_MANY_UPLOADS`, `STORE_FULL`, …
   */
  open(id: string, file: FileRef, sender: string): Promise<number>;
  /**
   * Takes a part. One that came before is taken again without effect.
   *
   * @param read - Reads the part, when there is room for it in memory.
   * @throws FileError `UPLOAD_NOT_FOUND`, `PART_OUT_OF_ORDER`, `PART_INVALID`, `STORE_FULL`, …
   */
  part(id: string, at: number, sender: string, read: () => Promise<Uint8Array>): Promise<void>;
  /**
   * Checks the whole file and makes it one of its run.
   *
   * @throws FileError `FILE_DIGEST_MISMATCH`, `UPLOAD_NOT_FOUND`, …; and what `queue.finishFile` throws.
   */
  finish(id: string, sender: string): Promise<FileRef>;
  /** Gives everything up that is not finished. */
  close(): Promise<void>;
}

interface Upload {
  file: FileRef;
  sender: string;
  /** Null when the object is complete. It stays known for a while, because the answer may be lost. */
  sending: { writer: ObjectWriter; hash: Hash } | null;
  next: number;
  lastAt: number;
  /** Calls for one upload run one after the other. */
  turn: Promise<unknown>;
}

export function createUploads({
  store,
  queue,
  log,
}: {
  store: FileStore;
  queue: Pick<Queue, "finishFile" | "dropUpload">;
  log: Log;
}): Uploads {
  const uploads = new Map<string, Upload>();
  const opening = new Map<string, { file: FileRef; sender: string; done: Promise<unknown> }>();
  const takePlace = createPlaces({ most: PARTS_AT_ONCE, each: PARTS_EACH });
  const timer = setInterval(() => {
    const before = performance.now() - IDLE_MS;
    for (const [id, { lastAt }] of uploads) if (lastAt < before) void give(id);
  }, IDLE_MS / 10).unref();

  /** Gives an upload up. Its row goes with the next sweep, if it is not said now. */
  async function give(id: string): Promise<void> {
    const upload = uploads.get(id);
    if (!upload) return;
    uploads.delete(id);
    await upload.turn.catch(() => {});
    if (!upload.sending) return;
    try {
      await upload.sending.writer.abort();
      await queue.dropUpload(id);
    } catch (error) {
      log.warn({ upload: id, err: error }, "an upload was given up, and is swept later");
    }
  }

  /** Gives an upload up that its store cannot take to its end. */
  function fail(id: string, error: unknown): never {
    const code = error instanceof StoreError ? error.code : undefined;
    if (code === "STORE_FULL" || code === "FILE_GONE") queueMicrotask(() => void give(id));
    if (code !== "FILE_GONE") throw error;
    const message = "the store has lost what was sent: begin the upload again";
    throw new FileError("UPLOAD_NOT_FOUND", message, { cause: error });
  }

  /** Does work for an upload when the work before it has ended. */
  async function inTurn<Result>(
    id: string,
    sender: string,
    work: (upload: Upload) => Promise<Result>,
  ): Promise<Result> {
    const upload = uploads.get(id);
    if (!upload || upload.sender !== sender) {
      throw new FileError("UPLOAD_NOT_FOUND", "the hub knows no such upload: begin it again");
    }
    const done = upload.turn.catch(() => {}).then(() => work(upload));
    upload.turn = done;
    return await done;
  }

  /** Those that are not complete, with the bytes that they may still bring. */
  const underWay = () => [
    ...[...uploads.values()]
      .filter(({ sending }) => sending)
      .map(({ file: { size }, sender, next }) => ({
        sender,
        left: Math.max(0, size - next * limits.filePartBytes),
      })),
    ...[...opening.values()].map(({ file: { size }, sender }) => ({ sender, left: size })),
  ];

  async function create(
    id: string,
    { file, sender }: { file: FileRef; sender: string },
    others: ReturnType<typeof underWay>,
  ): Promise<void> {
    const mine = others.filter((upload) => upload.sender === sender).length;
    if (others.length >= UPLOADS || mine >= UPLOADS_EACH) {
      throw new FileError(
        "TOO_MANY_UPLOADS",
        "too many uploads are under way at the hub: wait until others are finished",
      );
    }
    const free = await store.free();
    const promised = others.reduce((sum, { left }) => sum + left, 0);
    if (free !== undefined && file.size + promised > free) throw storeFull();
    const writer = await store.open(id, file.size);
    uploads.set(id, {
      ...{ file, sender, sending: { writer, hash: createHash("sha256") }, next: 0 },
      ...{ lastAt: performance.now(), turn: Promise.resolve() },
    });
  }

  return {
    async open(id, file, sender) {
      // A repeated call waits for the first one.
      await opening.get(id)?.done.catch(() => {});
      const known = uploads.get(id);
      if (known) known.sender = sender;
      else {
        // Counted from here on: others may be opened while the store is asked.
        const done = create(id, { file, sender }, underWay()).finally(() => opening.delete(id));
        opening.set(id, { file, sender, done });
        try {
          await done;
        } catch (error) {
          await queue.dropUpload(id).catch(() => {});
          throw error;
        }
      }
      return await inTurn(id, sender, async ({ next }) => next);
    },

    part: (id, at, sender, read) =>
      inTurn(id, sender, async (upload) => {
        const { file, next, sending } = upload;
        // Its answer was lost.
        if (at < next) return;
        const left = file.size - next * limits.filePartBytes;
        if (at !== next || left <= 0 || !sending) {
          throw new FileError("PART_OUT_OF_ORDER", `the next part of the upload is ${next}`);
        }
        await takePlace(async () => {
          const part = await read();
          if (part.length !== Math.min(left, limits.filePartBytes)) {
            throw new FileError(
              "PART_INVALID",
              `part ${at} holds ${part.length} bytes, and should hold ${Math.min(left, limits.filePartBytes)}`,
            );
          }
          await sending.writer.write(part).catch((error: unknown) => fail(id, error));
          sending.hash.update(part);
          upload.next = at + 1;
          upload.lastAt = performance.now();
        }, sender);
      }),

    finish: (id, sender) =>
      inTurn(id, sender, async (upload) => {
        const { file, next, sending } = upload;
        if (sending) {
          if (next !== Math.ceil(file.size / limits.filePartBytes)) {
            throw new FileError("PART_OUT_OF_ORDER", `the next part of the upload is ${next}`);
          }
          if (sending.hash.copy().digest("hex") !== file.sha256) {
            queueMicrotask(() => void give(id));
            throw new FileError(
              "FILE_DIGEST_MISMATCH",
              "what arrived at the hub has another SHA-256 than the file: it changed while it was sent",
            );
          }
          await sending.writer.finish().catch((error: unknown) => fail(id, error));
          upload.sending = null;
          upload.lastAt = performance.now();
        }
        return await queue.finishFile(id);
      }),

    async close() {
      clearInterval(timer);
      await Promise.all([...uploads.keys()].map(give));
    },
  };
}

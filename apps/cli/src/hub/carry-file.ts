// Sends a file to the hub, and downloads one from there.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import {
  describeSize,
  type HubClient,
  HubError,
  type RunFile,
  type StoredFile,
} from "@loom/client";
import { limits, unfinishedNameOf } from "@loom/workflow";
import { CliError } from "../errors.ts";
import { clean } from "../output/text.ts";

/** How often a download goes on that broke off without any progress. */
const TRIES = 5;
/** A download that brings nothing for this long is broken off. */
const SILENCE_MS = 30_000;

/** How often an upload is begun anew that the hub has lost, because it was started again. */
const RESTARTS = 3;
const LOST = new Set(["UPLOAD_NOT_FOUND", "PART_OUT_OF_ORDER"]);

/**
 * Sends a file, which a run is started with afterwards.
 *
 * @returns The file, as an input names it.
 * @throws CliError `FILE_TOO_LARGE`; HubError.
 */
export async function upload(
  client: Pick<HubClient, "beginUpload" | "sendPart" | "finishUpload">,
  { file, name }: { file: string; name: string },
): Promise<StoredFile> {
  const { size } = await stat(file);
  if (size > limits.fileBytes) {
    throw new CliError("FILE_TOO_LARGE", {
      what: `it is ${describeSize(size)} when it is packed`,
      why: `a file of a run holds at most ${describeSize(limits.fileBytes)}`,
      fix: "send less of it, or put it where the machine can read it",
    });
  }
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  const facts = { name, size, sha256: hash.digest("hex") };
  await using handle = await open(file);
  for (let restarts = 0; ; restarts += 1) {
    const { id, next, partBytes } = await client.beginUpload(facts);
    const part = Buffer.allocUnsafe(Math.min(partBytes, size));
    try {
      for (let at = next; at * partBytes < size; at += 1) {
        const { bytesRead } = await handle.read(part, 0, part.length, at * partBytes);
        await client.sendPart(id, at, part.subarray(0, bytesRead));
      }
      return await client.finishUpload(id);
    } catch (error) {
      const isLost = error instanceof HubError && LOST.has(error.code);
      if (!isLost || restarts >= RESTARTS) throw error;
    }
  }
}

/**
 * Downloads a file under another name first, checks it, and gives it its own then.
 *
 * @throws CliError `FILE_UNWRITABLE`, `FILE_DIGEST_MISMATCH`; HubError.
 */
export async function download(
  client: Pick<HubClient, "downloadFile">,
  { run, file, to }: { run: string; file: Pick<RunFile, "size" | "sha256" | "name">; to: string },
): Promise<void> {
  const unfinished = path.join(path.dirname(to), unfinishedNameOf(path.basename(to)));
  let handle: FileHandle;
  try {
    await mkdir(path.dirname(to), { recursive: true });
    handle = await open(unfinished, "wx", 0o600);
  } catch (cause) {
    throw new CliError("FILE_UNWRITABLE", {
      what: `${unfinished} cannot be written`,
      why: (cause as Error).message,
      fix: "another download may be under way, or have been stopped: remove it, or name another place with --output",
    });
  }
  try {
    const hash = createHash("sha256");
    let received = 0;
    for (let failed = 0; received < file.size || received === 0; ) {
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(new TypeError("no more came")), SILENCE_MS);
      try {
        const { signal } = silence;
        const answer = await client.downloadFile(run, file.sha256, { from: received, signal });
        for await (const chunk of answer.body ?? []) {
          timer.refresh();
          if (received + chunk.length > file.size) break;
          await handle.write(chunk, 0, chunk.length, received);
          hash.update(chunk);
          received += chunk.length;
          failed = 0;
        }
        if (file.size === 0) break;
        if (received < file.size) throw new TypeError("the download broke off");
      } catch (error) {
        failed += 1;
        if (!(error instanceof TypeError) || failed >= TRIES) throw error;
      } finally {
        clearTimeout(timer);
      }
    }
    if (hash.digest("hex") !== file.sha256) {
      throw new CliError("FILE_DIGEST_MISMATCH", {
        what: `what arrived of ${clean(file.name)} has another SHA-256 than the file`,
        why: "it was damaged on the hub's disk, or on the way",
        fix: "look at the hub's disk",
      });
    }
    await handle.close();
    await rename(unfinished, to);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(unfinished, { force: true });
    throw error;
  }
}

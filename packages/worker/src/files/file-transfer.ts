import type { ClaimedJob } from "@loom/queue";
import type { FileRef } from "@loom/workflow";

/** What an attempt asks for files under. */
export type FileHolder = Pick<ClaimedJob, "id" | "fence">;

/** Carries files between this machine and the store of the hub. */
export interface FileTransfer {
  /**
   * Stores a file for the run of a job that this node holds.
   *
   * @throws FileError, or the signal's reason.
   */
  put(
    holder: FileHolder,
    file: { name: string; path: string },
    options: { signal: AbortSignal },
  ): Promise<FileRef>;
  /**
   * Fetches a file to a path that does not exist yet, and checks it.
   *
   * @throws FileError, or the signal's reason.
   */
  get(
    holder: FileHolder,
    ref: FileRef,
    to: string,
    options: { signal: AbortSignal },
  ): Promise<void>;
}

/** A file could not be stored or fetched. */
export class FileError extends Error {
  override readonly name = "FileError";
  /** Such as `STORE_FULL`; docs/files.md has them all. */
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whether the disk has no room, or this user's share of it has none. */
export const isDiskFull = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");

/** The error of a file for which this machine's disk has no room. */
export const nodeDiskFull = (what: string, folder: string, cause: unknown): FileError =>
  new FileError(
    "NODE_DISK_FULL",
    `${what} does not fit on this machine's disk: free space below ${folder}`,
    { cause },
  );

/** The node was given no way to reach a store. */
export const noFiles: FileTransfer = {
  put: refuse,
  get: refuse,
};

async function refuse(): Promise<never> {
  throw new FileError(
    "FILES_UNAVAILABLE",
    "this node does not know its hub, which has the files: run loom-agent join HUB here, or set LOOM_HUB_URL",
  );
}

import path from "node:path";
import {
  createFileTransfer,
  createOwnConnection,
  createUploads,
  type HubFiles,
  openFolderStore,
  openS3Store,
  type S3Settings,
} from "@loom/files";
import type { Queue } from "@loom/queue";
import type { FileTransfer, Log } from "@loom/worker";

/** A hub's files, and how its own node reaches them. */
export interface OpenedFiles extends HubFiles {
  readonly transfer: FileTransfer;
}

/**
 * Opens the store of a hub: the bucket of its settings, else a folder.
 *
 * @throws The system's error when the folder cannot be used.
 */
export async function openFiles({
  s3,
  folder,
  queue,
  node,
  log,
}: {
  s3: S3Settings | undefined;
  folder: string;
  queue: Queue;
  /** The name of the hub's own node. */
  node: string;
  log: Log;
}): Promise<OpenedFiles> {
  const store = s3 ? openS3Store(s3) : await openFolderStore(path.join(folder, "files"));
  const uploads = createUploads({ store, queue, log });
  const connection = createOwnConnection({ node, queue, store, uploads });
  return { store, uploads, transfer: createFileTransfer(connection, { log }) };
}

import type { FileRef } from "@loom/workflow";
import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { instant, isUuid, row } from "../transport/rows.ts";

/** The claim under which a node stores and reads files. */
export interface FileClaim {
  node: string;
  job: number;
  fence: number;
}

/**
 * Which files there are, and which runs have them. The bytes are in a store of a hub.
 *
 * @see sql/files.sql
 */
export interface Files {
  /**
   * Begins an upload for the run of a job that the node holds.
   *
   * @returns The name of the object in the store; null when the run has this content already.
   * @throws QueueRequestError `JOB_NOT_HELD`, `FILES_NEED_A_RUN`, `FILE_TOO_LARGE`, `FILE_NAME_INVALID`,
   *   `TOO_MANY_FILES`, `TOO_MANY_UPLOADS`.
   */
  beginFile(claim: FileClaim, store: string, file: FileRef): Promise<string | null>;

  /** Begins an upload by a person: the file is for a run that is started within a day, whose input names it. */
  beginUpload(store: string, file: FileRef): Promise<string>;

  /**
   * Records that an upload is complete and has the promised content. For hubs, which have read the bytes.
   *
   * @throws QueueRequestError `JOB_NOT_HELD`, `UPLOAD_NOT_FOUND`.
   */
  finishFile(id: string): Promise<FileRef>;

  /** Gives an upload up. */
  dropUpload(id: string): Promise<void>;

  /**
   * Finds a file by its SHA-256 for a node that holds a job of a run that has it; null for any other file.
   *
   * @throws QueueRequestError `JOB_NOT_HELD`.
   */
  openFile(claim: FileClaim, sha256: string): Promise<OpenedFile | null>;

  /** Finds a file of a run by its SHA-256; null when the run has none with it. */
  findRunFile(runId: string, sha256: string): Promise<OpenedFile | null>;

  /** The files of a run; null when there is no such run. */
  listFiles(runId: string): Promise<RunFile[] | null>;

  /**
   * Takes objects of a store that no run needs, to be removed from it. They are answered again until they are
   * forgotten.
   *
   * @param options.graceMs - How long a file without a run is kept; default a day.
   */
  takeUnusedFiles(store: string, options?: { graceMs?: number; limit?: number }): Promise<string[]>;

  /** Forgets objects that are gone from their store. */
  forgetFiles(ids: readonly string[]): Promise<void>;
}

export const files = (call: Call): Files => ({
  async beginFile({ node, job, fence }, store, { name, size, sha256 }) {
    const args = {
      p_node: node,
      p_job: job,
      p_fence: fence,
      ...wire(store, { name, size, sha256 }),
    };
    return (await call("loom_begin_file", args, z.object({ id: z.uuid().nullable() }))).id;
  },

  beginUpload: async (store, file) =>
    (await call("loom_begin_upload", wire(store, file), z.object({ id: z.uuid() }))).id,

  finishFile: (id) => call("loom_finish_file", { p_id: id }, facts),

  async dropUpload(id) {
    await call("loom_drop_upload", { p_id: id }, z.object({ dropped: z.boolean() }));
  },

  openFile: ({ node, job, fence }, sha256) =>
    call(
      "loom_open_file",
      { p_node: node, p_job: job, p_fence: fence, p_digest: sha256 },
      opened.nullable(),
    ),

  async findRunFile(runId, sha256) {
    if (!isUuid(runId)) return null;
    const args = { p_run: runId, p_digest: sha256 };
    return call("loom_find_run_file", args, opened.nullable());
  },

  async listFiles(runId) {
    if (!isUuid(runId)) return null;
    const list = z.object({ files: z.array(runFile) }).nullable();
    return (await call("loom_list_files", { p_run: runId }, list))?.files ?? null;
  },

  async takeUnusedFiles(store, { graceMs = 86_400_000, limit = 100 } = {}) {
    const args = { p_store: store, p_grace_s: Math.ceil(graceMs / 1_000), p_limit: limit };
    return (await call("loom_take_unused_files", args, z.object({ files: z.array(z.uuid()) })))
      .files;
  },

  async forgetFiles(ids) {
    await call("loom_forget_files", { p_ids: ids }, z.object({ forgotten: z.int() }));
  },
});

const wire = (store: string, { name, size, sha256 }: FileRef) => ({
  p_store: store,
  p_name: name,
  p_size: size,
  p_digest: sha256,
});

const facts = z
  .object({ name: z.string(), size: z.int(), digest: z.string() })
  .transform(({ digest, ...rest }): FileRef => ({ ...rest, sha256: digest }));

const opened = z
  .object({
    /** The object in the store. */
    id: z.uuid(),
    store: z.string(),
    name: z.string(),
    size: z.int(),
    digest: z.string(),
  })
  .transform(({ digest, ...rest }) => ({ ...rest, sha256: digest }));

/** A file that may be read. */
export type OpenedFile = z.output<typeof opened>;

const runFile = row(
  z
    .object({
      name: z.string(),
      size: z.int(),
      digest: z.string(),
      store: z.string(),
      /** The step that stored it; null for a file that came with the run's input. */
      jobId: z.int().nullable(),
      step: z.string().nullable(),
      createdAt: instant,
    })
    .transform(({ digest, ...rest }) => ({ ...rest, sha256: digest })),
);

/** A file that a run has. */
export type RunFile = z.output<typeof runFile>;

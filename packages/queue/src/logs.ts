import { z } from "zod";
import { type Call, toStorable } from "./transport/call.ts";

/** The output of attempts. */
export interface Logs {
  /**
   * Appends output to the log of an attempt that the node still owns. A repeated call changes
   * nothing. A chunk holds at most 256 KiB. Characters that Postgres cannot store are replaced: a
   * NUL by SUB (U+001A).
   *
   * @returns `too_large` beyond 10 MiB an attempt, `stale` when the claim is settled or a newer one
   * exists.
   * @see sql/logs.sql
   */
  appendLog(
    claim: { node: string; id: number; fence: number },
    chunks: readonly LogChunk[],
  ): Promise<AppendAnswer>;

  /**
   * Reads an attempt's output from a byte on; by default that of the newest attempt.
   *
   * @param options.limit - The number of chunks, 1 to 1000, default 100.
   * @see sql/logs.sql
   */
  readLog(
    jobId: number,
    options?: { fence?: number; from?: number; limit?: number },
  ): Promise<LogPage>;

  /**
   * Reads the last chunks of an attempt's output that together hold a number of lines, at most
   * 4 MiB; by default of the newest attempt. The first chunk may begin before these lines.
   *
   * @see sql/logs.sql
   */
  tailLog(jobId: number, options: { fence?: number; lines: number }): Promise<LogPage>;
}

export const logs = (call: Call): Logs => ({
  async appendLog({ node: name, id, fence }, chunks) {
    const args = { p_node: name, p_job: id, p_fence: fence, p_chunks: chunks.map(toChunk) };
    return call("loom_append_log", args, appendAnswer);
  },

  readLog: (jobId, { fence, from = 0, limit = 100 } = {}) =>
    call(
      "loom_read_log",
      { p_job: jobId, p_fence: fence ?? null, p_from: from, p_limit: limit },
      logPage,
    ),

  tailLog: (jobId, { fence, lines }) =>
    call("loom_tail_log", { p_job: jobId, p_fence: fence ?? null, p_lines: lines }, logPage),
});

/** The answer to a call that appends output. */
export const appendAnswer = z
  .object({ answer: z.enum(["accepted", "stale", "unknown", "too_large"]) })
  .transform(({ answer }) => answer);

export type AppendAnswer = z.output<typeof appendAnswer>;

/** The chunk as the SQL function stores it. */
export const toChunk = ({ start, chunk }: LogChunk): LogChunk => ({
  start,
  chunk: toStorable(chunk),
});

/** A piece of an attempt's output. */
const logChunk = z.object({
  /** Its start in bytes of the attempt's whole output as UTF-8. */
  start: z.int(),
  chunk: z.string(),
});

export type LogChunk = z.output<typeof logChunk>;

const logPage = z.object({
  /** The claim that the log belongs to. */
  fence: z.int().nullable(),
  chunks: z.array(logChunk),
  /** The position of the next read, in bytes. */
  next: z.int(),
});

export type LogPage = z.output<typeof logPage>;

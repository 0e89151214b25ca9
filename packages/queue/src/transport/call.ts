import type { z } from "zod";

/** Calls an SQL function and checks its answer. */
export type Call = <Schema extends z.ZodType>(
  name: string,
  args: Record<string, unknown>,
  schema: Schema,
) => Promise<z.output<Schema>>;

export interface CallOptions {
  /** Whether to notify the channel `loom_offers` of the nodes with new offers. */
  notify: boolean;
}

/** The position and the size of a page. */
export interface PageOptions<Place> {
  /** The `next` of the page before. */
  after?: Place | undefined;
  /** 1 to 500, default 50. */
  limit?: number | undefined;
}

/**
 * Calls the queue's SQL functions. It has one method, so a transport needs to know only how to call
 * a function.
 *
 * If an answer was lost, the same call may be made again and gets the first one's answer. A call
 * that adds a run or a job needs a key for that.
 */
export interface Transport {
  /**
   * Calls `public.<name>` with named arguments.
   *
   * @returns The function's JSON answer, not checked yet.
   * @throws QueueUnavailableError when no answer came, or the server could not serve; try again.
   * @throws QueueAccessError, QueueSchemaError, QueueRequestError when trying again cannot help.
   */
  call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/**
 * Converts a text to one that Postgres can store, with as many bytes. A NUL becomes SUB (U+001A),
 * ASCII's substitute character, and half of a surrogate pair becomes U+FFFD.
 */
export const toStorable = (text: string): string => text.toWellFormed().replaceAll("\0", "\x1a");

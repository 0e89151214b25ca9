import { z } from "zod";

/** A piece of an attempt's output. */
const logChunk = z.object({
  /** Where it begins, in bytes of the attempt's whole output as UTF-8. */
  start: z.int(),
  chunk: z.string(),
});
export type LogChunk = z.output<typeof logChunk>;

export const logPage = z.object({
  /** The claim whose log this is. */
  fence: z.int().nullable(),
  chunks: z.array(logChunk),
  /** Where to read on, in bytes. */
  next: z.int(),
});
export type LogPage = z.output<typeof logPage>;

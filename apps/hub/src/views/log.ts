import { z } from "@hono/zod-openapi";
import type { LogPage } from "@loom/queue";

export const logView = z
  .object({
    /** The claim whose output this is; null where nothing was ever claimed. */
    fence: z.int().nullable(),
    /** Where `text` begins, in bytes of the attempt's output as UTF-8. */
    offset: z.int(),
    text: z.string(),
    /** Where to read on. */
    next: z.int(),
  })
  .openapi("Log");
export type LogPart = z.output<typeof logView>;

/**
 * The output from a byte on: of the first chunk what lies behind it. Where output is missing (a
 * node was lost before it could send it), the text goes on with what comes next.
 */
export function toLogPart({ fence, chunks, next }: LogPage, from: number): LogPart {
  const [first, ...others] = chunks;
  if (!first) return { fence, offset: from, text: "", next: from };
  const skipped = Math.max(0, from - first.start);
  const head = Buffer.from(first.chunk).subarray(skipped).toString();
  return {
    fence,
    offset: first.start + skipped,
    text: [head, ...others.map(({ chunk }) => chunk)].join(""),
    next,
  };
}

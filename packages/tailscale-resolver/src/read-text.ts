import type { Readable } from "node:stream";
import { SourceError } from "./errors.ts";

/** The status of ten thousand machines has about 12 MB. */
export const MAX_BYTES = 32 * 1024 * 1024;

/** Creates the error for an answer longer than {@link MAX_BYTES}. */
export const tooLong = (source: string): SourceError =>
  new SourceError(
    `the answer is longer than ${MAX_BYTES} bytes: check that tailscaled answers there, not another program`,
    { code: "BAD_RESPONSE", source },
  );

/**
 * Reads a stream as text, up to the longest possible status.
 *
 * @param source - The name of the source, for the error.
 * @throws SourceError `BAD_RESPONSE` when there is more. The stream is then destroyed.
 */
export async function readText(stream: Readable, source: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw tooLong(source);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

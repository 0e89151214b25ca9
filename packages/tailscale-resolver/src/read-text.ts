import type { Readable } from "node:stream";
import { SourceError } from "./errors.ts";

/** Ten thousand machines are about 12 MB of status. */
const MAX_BYTES = 32 * 1024 * 1024;

/**
 * Reads a stream to its end as text, and no further than a status could be long.
 *
 * @param source - Name of the source, for the error.
 * @throws SourceError `BAD_RESPONSE` when there is more; the stream is destroyed.
 */
export async function readText(stream: Readable, source: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) {
      throw new SourceError(
        `the answer is longer than ${MAX_BYTES} bytes: make sure that tailscaled answers there, not another program`,
        { code: "BAD_RESPONSE", source },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

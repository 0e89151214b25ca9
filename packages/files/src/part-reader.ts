import { problem, type RequestContext } from "@loom/http";
import { limits } from "@loom/workflow";

/**
 * Returns what reads a part from a request. Nothing of it is in memory before, so that is called when the sender is known and
 * there is room.
 *
 * @throws ProblemError `BODY_TOO_LARGE`: at once where the request says how long it is, otherwise while it is read.
 */
export function partReader({ req }: Pick<RequestContext, "req">): () => Promise<Uint8Array> {
  const length = req.header("content-length");
  if (Number(length ?? 0) > limits.filePartBytes) throw tooLarge();
  if (length !== undefined) return async () => new Uint8Array(await req.arrayBuffer());
  return async () => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of (req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > limits.filePartBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
}

const tooLarge = () => problem("BODY_TOO_LARGE", `${limits.filePartBytes} bytes`);

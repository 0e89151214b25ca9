import { CodeError, digestOf, keyIdOf, type SignedCode, unpackSource } from "@loom/code";
import type { Queue } from "@loom/queue";

/**
 * Creates a function that reads signed code from the database. It does not verify the code: a store does.
 *
 * @param options.publicKey - The key of the hub that this machine joined.
 */
export const fetchFromQueue =
  ({
    queue,
    node,
    publicKey,
  }: {
    queue: Pick<Queue, "readCode">;
    node: string;
    publicKey: string;
  }) =>
  async (digest: string): Promise<SignedCode | undefined> => {
    const found = await queue.readCode(node, digest);
    if (!found) return undefined;
    const signed = found.signed[keyIdOf(publicKey)];
    if (!signed) {
      throw new CodeError(
        "CODE_SIGNATURE_REFUSED",
        `the code ${digest} is not signed by the hub that this machine joined, and is not run: let hubs share one key (LOOM_SIGNING_KEY_FILE), or let the machine join again`,
      );
    }
    const { name, manifest, signature } = signed;
    const manifestDigest = digestOf(manifest);
    return {
      statement: { kind: "workflow", name, digest, manifestDigest, sequence: 0 },
      manifest,
      signature,
      source: await unpackSource(found.source),
    };
  };

import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { digestOf, MAX_BUNDLE_BYTES } from "./digest.ts";
import { CodeError } from "./errors.ts";
import { type SigningKey, type Statement, signStatement, verifyStatement } from "./signing.ts";

/** Code with a hub's signed statement about it. */
export interface SignedCode {
  readonly statement: Statement;
  /** A {@link CodeManifest} as JSON, byte for byte as it was signed. */
  readonly manifest: string;
  /** Base64url. */
  readonly signature: string;
  readonly source: string;
}

/** The facts that a node needs before it runs code. */
export interface CodeManifest {
  /** Native modules that the node must have. */
  readonly externals: readonly string[];
}

/** Signs a bundle of workflows. */
export function signWorkflow(
  { name, source, externals }: { name: string; source: string } & CodeManifest,
  key: SigningKey,
): SignedCode {
  const manifest = JSON.stringify({ externals } satisfies CodeManifest);
  const statement: Statement = {
    ...{ kind: "workflow", name, sequence: 0 },
    ...{ digest: digestOf(source), manifestDigest: digestOf(manifest) },
  };
  return { statement, manifest, source, signature: signStatement(statement, key) };
}

/**
 * Checks that a statement names this code, and that the hub with this key made the statement.
 *
 * @throws CodeError
 */
export function verifyCode(code: SignedCode, digest: string, publicKey: string): void {
  const { statement, manifest, signature, source } = code;
  const bytes = Buffer.byteLength(source);
  if (bytes > MAX_BUNDLE_BYTES) {
    throw new CodeError(
      "CODE_TOO_LARGE",
      `the code ${digest} holds ${bytes} bytes of at most ${MAX_BUNDLE_BYTES}: let the hub bundle it again`,
    );
  }
  if (digestOf(source) !== digest) {
    throw new CodeError(
      "CODE_DIGEST_MISMATCH",
      `the code ${digest} does not match its digest: it was changed or cut off on its way, and is not run`,
    );
  }
  const isSigned =
    statement.digest === digest &&
    statement.kind === "workflow" &&
    statement.manifestDigest === digestOf(manifest) &&
    verifyStatement(statement, signature, publicKey);
  if (isSigned) return;
  throw new CodeError(
    "CODE_SIGNATURE_REFUSED",
    `the code ${digest} is not signed by the hub that this machine joined, and is not run: if the hub has a new key, let the machine join again`,
  );
}

/** Packs a source for storing and sending: gzip as base64, about a third of the size. */
export const packSource = async (source: string): Promise<string> =>
  (await promisify(gzip)(source)).toString("base64");

/**
 * Reads {@link packSource} back.
 *
 * @throws CodeError when it is cut off or no packed source, or when it holds more than a bundle may.
 */
export async function unpackSource(packed: string): Promise<string> {
  try {
    const bytes = await promisify(gunzip)(Buffer.from(packed, "base64"), {
      maxOutputLength: MAX_BUNDLE_BYTES,
    });
    return bytes.toString("utf8");
  } catch (cause) {
    const isTooLarge = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    throw isTooLarge
      ? new CodeError(
          "CODE_TOO_LARGE",
          `the code holds more than ${MAX_BUNDLE_BYTES} bytes: let the hub bundle it again`,
          { cause },
        )
      : new CodeError(
          "CODE_DIGEST_MISMATCH",
          "the code cannot be unpacked: it was changed or cut off on its way, and is not run",
          { cause },
        );
  }
}

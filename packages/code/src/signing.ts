import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from "node:crypto";
import { link, mkdir, open, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { digestOf } from "./digest.ts";

/** A hub's statement about code, which the hub signs. */
export interface Statement {
  /** `workflow`: a bundle of workflows. `agent`: the program of an agent. */
  readonly kind: "workflow" | "agent";
  /** The names of the workflows, separated by commas; for an agent, its version. */
  readonly name: string;
  /** SHA-256 of the code. */
  readonly digest: string;
  /** SHA-256 of the manifest that travels with it. */
  readonly manifestDigest: string;
  /** A later program of an agent has a higher number. 0 for workflows, whose versions have no order. */
  readonly sequence: number;
}

/** A hub's key. The private part stays in its file and in this process. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  /** The raw public key as base64url: 43 characters. Nodes keep it when they join. */
  readonly publicKey: string;
}

/** A hub's key file cannot be used. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
  readonly code = "SIGNING_KEY";
}

/**
 * Reads the hub's signing key from a file. The first call makes the file, with mode 0600.
 *
 * Two hubs that start at the same moment get one key, because the file is linked to its name once it is complete.
 *
 * @throws SigningKeyError when others may read the file, or it holds no ed25519 key.
 */
export async function loadSigningKey(file: string): Promise<SigningKey> {
  try {
    await make(file);
    return toKey(await readPrivate(file));
  } catch (cause) {
    if (cause instanceof SigningKeyError) throw cause;
    throw new SigningKeyError(
      `the signing key ${file} cannot be used (${(cause as Error).message}): set LOOM_SIGNING_KEY_FILE to a file that only this user may read`,
      { cause },
    );
  }
}

async function make(file: string): Promise<void> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const beside = path.join(folder, `.${path.basename(file)}-${randomUUID()}`);
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  try {
    await using handle = await open(file).catch(() => undefined);
    if (handle) return;
    await writeFile(beside, pem, { mode: 0o600, flag: "wx", flush: true });
    // Unlike a rename, this never replaces a key.
    await link(beside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(beside, { force: true });
  }
}

async function readPrivate(file: string): Promise<string> {
  await using handle = await open(file);
  const { mode } = await handle.stat();
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    throw new SigningKeyError(
      `others may read the signing key ${file}, and could sign code that every node runs: chmod 600 ${file}, and make a new key if somebody has read it`,
    );
  }
  return await handle.readFile("utf8");
}

function toKey(pem: string): SigningKey {
  const privateKey = createPrivateKey(pem);
  const { crv, x } = createPublicKey(privateKey).export({ format: "jwk" });
  if (crv !== "Ed25519" || x === undefined) throw new TypeError("it holds no ed25519 key");
  return { privateKey, publicKey: x };
}

/** Returns a short id of a public key. A signature carries it to name its key. */
export const keyIdOf = (publicKey: string): string => digestOf(publicKey).slice(0, 16);

/** Signs a statement. @returns The signature as base64url. */
export const signStatement = (statement: Statement, key: SigningKey): string =>
  signBytes(canonical(statement), key);

/** Whether this public key made the signature of this statement. Never throws. */
export function verifyStatement(
  statement: Statement,
  signature: string,
  publicKey: string,
): boolean {
  return verifyBytes(canonical(statement), { signature, publicKey });
}

/** Signs bytes that say what they are, so that no signature counts for anything else. */
export const signBytes = (bytes: Buffer, { privateKey }: SigningKey): string =>
  sign(null, bytes, privateKey).toString("base64url");

/** Whether this public key made the signature of these bytes. Never throws. */
export function verifyBytes(
  bytes: Buffer,
  { signature, publicKey }: { signature: string; publicKey: string },
): boolean {
  try {
    const key = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: publicKey },
      format: "jwk",
    });
    return verify(null, bytes, key, Buffer.from(signature, "base64url"));
  } catch {
    return false;
  }
}

/** Returns the bytes to sign. They are JSON, so that no field can run into the next one. */
const canonical = ({ kind, name, digest, manifestDigest, sequence }: Statement): Buffer =>
  Buffer.from(JSON.stringify(["loom-code", 1, kind, name, digest, manifestDigest, sequence]));

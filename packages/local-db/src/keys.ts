import { randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { SignJWT } from "jose";

/** PostgREST refuses every token signed with a shorter secret, and says so nowhere. */
const MIN_SECRET_LENGTH = 32;

/** What a key says: the database role to act as, and whatever the schema's policies look at. */
export interface KeyClaims {
  readonly role: string;
  /** Seconds since 1970; default: in ten years. */
  readonly exp?: number;
  readonly [claim: string]: unknown;
}

export type SignKey = (claims: KeyClaims) => Promise<string>;

export function newSecret(): string {
  return randomBytes(48).toString("base64url");
}

/** Reads the secret kept in `file`, or puts a new one there. Call it only with the data folder to oneself. */
export async function keptSecret(file: string): Promise<string> {
  const kept = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  if (kept.length >= MIN_SECRET_LENGTH) return kept;
  const secret = newSecret();
  await writeFile(`${file}.new`, secret, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return secret;
}

/** Signs keys as a Supabase project does its legacy ones: HS256 over the project's secret. */
export function createSigner(secret: string): SignKey {
  const key = new TextEncoder().encode(secret);
  return ({ role, exp, ...claims }) =>
    new SignJWT({ ...claims, role })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuedAt()
      .setExpirationTime(exp ?? "10 years")
      .sign(key);
}

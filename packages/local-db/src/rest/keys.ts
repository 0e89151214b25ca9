import { randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SignJWT } from "jose";

/** PostgREST refuses every token signed with a shorter secret, without saying why. */
const MIN_SECRET_LENGTH = 32;

/** The file of a data folder that holds its secret. */
export const SECRET_FILE = "jwt-secret";

/** The claims of a key: the database role, and anything else that the schema's policies read. */
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

/**
 * Reads the secret in `file`, or creates one. Call it only while no other process uses the data
 * folder.
 */
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

/** Signs a key of a role for a data folder whose database runs, or ran, in another process. */
export async function signRoleKey(dataDir: string, role: "anon" | "service_role"): Promise<string> {
  const secret = await readFile(join(dataDir, SECRET_FILE), "utf8");
  return createSigner(secret)({ role });
}

/**
 * Creates a function that signs keys like the legacy keys of a Supabase project: HS256 with the
 * project's secret.
 */
export function createSigner(secret: string): SignKey {
  const key = new TextEncoder().encode(secret);
  return ({ role, exp, ...claims }) =>
    new SignJWT({ ...claims, role })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuedAt()
      .setExpirationTime(exp ?? "10 years")
      .sign(key);
}

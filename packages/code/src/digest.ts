import { createHash } from "node:crypto";

/** The maximum size of a bundle, in bytes. */
export const MAX_BUNDLE_BYTES = 8 * 1_048_576;

/** Returns the SHA-256 in lower-case hex. A bundle's digest is its version. */
export const digestOf = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex");

/** Whether a text has the form of a digest. */
export const isDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** Returns the part of a version that people read. Comparisons use the whole version. */
export const shortVersion = (version: string): string => version.slice(0, 12);

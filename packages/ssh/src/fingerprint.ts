import { createHash } from "node:crypto";

/**
 * Returns a public key's fingerprint as `ssh-keygen -l` prints it: `SHA256:` and base64 without
 * padding.
 */
export const fingerprintOf = (key: Buffer): string =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;

/** Returns the name of a public key's algorithm, with which its blob begins: RFC 4253, 6.6. */
export function keyType(key: Buffer): string {
  if (key.length < 4) return "unknown";
  return key.subarray(4, 4 + key.readUInt32BE(0)).toString("latin1");
}

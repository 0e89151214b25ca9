import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

/** A new token: 32 random bytes, and a prefix by which people and scanners know what it is. */
export const makeToken = (): string => `loom_${randomBytes(32).toString("base64url")}`;

/** Whether this could be one of ours: what could not is not looked up. */
export const isTokenShaped = (text: string): boolean => /^loom_[A-Za-z0-9_-]{43}$/.test(text);

/** What is stored of a token. It is random and long, so a plain hash cannot be tried backwards. */
export const digestOf = (token: string): string => sha256(token).toString("hex");

/**
 * Whether two secrets are equal. Digests are compared, in constant time: neither the length nor how
 * much of it was right can be measured.
 */
export const isSameSecret = (one: string, other: string): boolean =>
  timingSafeEqual(sha256(one), sha256(other));

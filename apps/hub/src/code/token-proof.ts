import { createHmac, hkdfSync, type KeyObject, randomBytes, timingSafeEqual } from "node:crypto";
import type { Scope } from "@loom/queue";

/**
 * Tells tokens that a hub with this key made from those that somebody wrote into the database. A command needs one of the
 * former: otherwise the database alone could give a stranger the scope `exec`, and the hub would sign for that stranger.
 */
export interface TokenProof {
  /** Makes a token for these scopes, with the shape of any other. */
  make(scopes: readonly Scope[]): string;
  /** Whether a token was made here for just these scopes. */
  holds(token: string, scopes: readonly Scope[]): boolean;
}

const PREFIX = "loom_";
/** Half of a token is random, and half proves it. */
const HALF_BYTES = 16;

/** Creates the proof of a hub from its private key. Without one, only this process accepts what it made. */
export function createTokenProof(privateKey?: KeyObject): TokenProof {
  const secret = privateKey?.export({ type: "pkcs8", format: "der" }) ?? randomBytes(32);
  const key = Buffer.from(hkdfSync("sha256", secret, "", "loom tokens", 32));
  const prove = (random: Buffer, scopes: readonly Scope[]): Buffer =>
    createHmac("sha256", key)
      .update(JSON.stringify([random.toString("base64url"), [...new Set(scopes)].sort()]))
      .digest()
      .subarray(0, HALF_BYTES);
  return {
    make(scopes) {
      const random = randomBytes(HALF_BYTES);
      return `${PREFIX}${Buffer.concat([random, prove(random, scopes)]).toString("base64url")}`;
    },
    holds(token, scopes) {
      const bytes = Buffer.from(token.slice(PREFIX.length), "base64url");
      if (bytes.length !== 2 * HALF_BYTES) return false;
      const random = bytes.subarray(0, HALF_BYTES);
      return timingSafeEqual(bytes.subarray(HALF_BYTES), prove(random, scopes));
    },
  };
}

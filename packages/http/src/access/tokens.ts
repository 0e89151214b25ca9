import { createHash, scryptSync, timingSafeEqual } from "node:crypto";
import type { ApiToken } from "@loom/queue";
import { LRUCache } from "lru-cache";

/** How long an answer of the database is used. A token revoked on another hub lives as long here. */
const REMEMBER_MS = 5_000;
/** How many digests are remembered of each kind. A stranger can send any number of them. */
const MAX_DIGESTS = 1_000;

interface Remembered {
  until: number;
  found: Promise<ApiToken | null>;
}

/** Looks tokens up and remembers each answer for a moment, including that there is no such token. */
export interface TokenMemory {
  /**
   * @param beforeLookUp - Called before the database is asked for a digest that was not valid a moment ago. It
   *   may refuse the lookup by throwing. A valid digest is looked up again whatever strangers do.
   */
  find(digest: string, beforeLookUp?: () => void): Promise<ApiToken | null>;
  /** Forgets every answer and calls the listeners: a token was created or revoked here. */
  clear(): void;
  /** Calls the listener after each `clear` until the signal aborts. */
  onCleared(listener: () => void, signal: AbortSignal): void;
}

export function createTokenMemory(
  find: (digest: string) => Promise<ApiToken | null>,
  now: () => number = () => performance.now(),
): TokenMemory {
  // Digests that were valid at the last lookup are kept apart, so that wrong tokens cannot evict them.
  const valid = new LRUCache<string, Remembered>({ max: MAX_DIGESTS });
  const other = new LRUCache<string, Remembered>({ max: MAX_DIGESTS });
  const listeners = new Set<() => void>();

  function ask(digest: string): Promise<ApiToken | null> {
    const found = find(digest);
    const entry = { until: now() + REMEMBER_MS, found };
    (valid.has(digest) ? valid : other).set(digest, entry);
    found.then(
      (token) => {
        const isNewest = (valid.get(digest) ?? other.get(digest)) === entry;
        if (!isNewest) return;
        (token ? other : valid).delete(digest);
        (token ? valid : other).set(digest, entry);
      },
      // A failure is no answer: the next request asks again.
      () => {
        if (valid.get(digest) === entry) entry.until = Number.NEGATIVE_INFINITY;
        if (other.get(digest) === entry) other.delete(digest);
      },
    );
    return found;
  }

  return {
    async find(digest, beforeLookUp = () => {}) {
      const known = valid.get(digest) ?? other.get(digest);
      let answer = known && known.until > now() ? known.found : undefined;
      if (answer === undefined) {
        if (!valid.has(digest)) beforeLookUp();
        answer = ask(digest);
      }
      const token = await answer;
      return token?.expiresAt && token.expiresAt.getTime() <= Date.now() ? null : token;
    },
    clear() {
      other.clear();
      for (const entry of valid.values()) entry.until = Number.NEGATIVE_INFINITY;
      for (const listener of listeners) listener();
    },
    onCleared(listener, signal) {
      listeners.add(listener);
      signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
    },
  };
}

const fingerprints = new Map<string, string>();

/**
 * The fingerprint that is stored of a bootstrap token; sessions end when the token changes. People choose
 * this token, so a slow hash protects it from guessing. It is computed once, when first needed.
 */
export function fingerprintOf(token: string): string {
  let fingerprint = fingerprints.get(token);
  if (fingerprint === undefined) {
    fingerprint = scryptSync(token, "loom bootstrap token", 32).toString("hex");
    fingerprints.set(token, fingerprint);
  }
  return fingerprint;
}

/**
 * Whether two secrets are equal. It compares digests in constant time: a caller can measure neither
 * the length of the secret nor how much of it was right.
 */
export const isSameSecret = (one: string, other: string): boolean =>
  timingSafeEqual(sha256(one), sha256(other));

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

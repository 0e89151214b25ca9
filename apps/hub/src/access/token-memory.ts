import type { ApiToken } from "@loom/queue";

/** How long an answer of the database's holds: also how long a revoked token may live on another hub. */
const REMEMBER_MS = 10_000;
/** Of digests that are remembered; a stranger can send any number of them. */
const MAX_DIGESTS = 1_000;

interface Remembered {
  until: number;
  found: Promise<ApiToken | null>;
}

/** Looks tokens up, and remembers the answer for a moment, also that there is none. */
export interface TokenMemory {
  find(digest: string): Promise<ApiToken | null>;
  /** Forgets everything: a token was made or revoked here. */
  clear(): void;
}

export function createTokenMemory(
  find: (digest: string) => Promise<ApiToken | null>,
  now: () => number = () => performance.now(),
): TokenMemory {
  // In the order in which they were asked for: the first is the oldest.
  const remembered = new Map<string, Remembered>();

  function ask(digest: string): Promise<ApiToken | null> {
    const found = find(digest);
    const entry = { until: now() + REMEMBER_MS, found };
    remembered.delete(digest);
    remembered.set(digest, entry);
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_DIGESTS && oldest !== undefined) remembered.delete(oldest);
    // A failure is no answer: the next request asks again.
    found.catch(() => {
      if (remembered.get(digest) === entry) remembered.delete(digest);
    });
    return found;
  }

  return {
    async find(digest) {
      const known = remembered.get(digest);
      const token = await (known && known.until > now() ? known.found : ask(digest));
      return token?.expiresAt && token.expiresAt.getTime() <= Date.now() ? null : token;
    },
    clear: () => remembered.clear(),
  };
}

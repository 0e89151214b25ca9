import { lengthOf, limits } from "./limits.ts";

/** At most `limit` steps and jobs with this key run at a time, in the whole mesh. */
export interface Concurrency {
  /** 1 to 200 characters, shared by all workflows: `"deploy:pop-os"`. */
  readonly key: string;
  /** 1 to 10 000. */
  readonly limit: number;
}

/**
 * Checks a concurrency limit of a definition, or one that a function returned.
 *
 * @throws RangeError that says what is wrong; the caller adds the place.
 */
export function checkConcurrency({ key, limit }: Concurrency): Concurrency {
  const max = limits.concurrencyKeyLength;
  // Postgres cannot store NUL, and other control characters make keys look alike.
  if (typeof key !== "string" || key === "" || lengthOf(key) > max || /\p{C}/u.test(key)) {
    throw new RangeError(`concurrency takes a key of 1 to ${max} printable characters`);
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > limits.concurrencyLimit) {
    throw new RangeError(`concurrency takes a limit from 1 to ${limits.concurrencyLimit}`);
  }
  return { key, limit };
}

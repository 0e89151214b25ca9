const MAX_KEY_LENGTH = 200;
const MAX_LIMIT = 10_000;

/** Of all steps and jobs with this key, at most `limit` run at a time, wherever in the mesh. */
export interface Concurrency {
  /** 1 to 200 characters, shared by all workflows: `"deploy:pop-os"`. */
  readonly key: string;
  /** 1 to 10 000. */
  readonly limit: number;
}

/**
 * Checks a concurrency limit, also one that a function returned.
 *
 * @throws RangeError with what is wrong; the caller knows the place.
 */
export function checkConcurrency({ key, limit }: Concurrency): Concurrency {
  if (typeof key !== "string" || key === "" || key.length > MAX_KEY_LENGTH) {
    throw new RangeError(`concurrency takes a key of 1 to ${MAX_KEY_LENGTH} characters`);
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new RangeError(`concurrency takes a limit from 1 to ${MAX_LIMIT}`);
  }
  return { key, limit };
}

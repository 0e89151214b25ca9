import { findNonJson } from "@loom/workflow";

/** What a value is to be stored as, for the error that says why it cannot be. */
export interface StoredAs {
  /** Such as `the result`. */
  what: string;
  /** What to do about it, such as `return`. */
  verb: string;
  maxBytes: number;
  refuse: (message: string, options?: ErrorOptions) => Error;
}

/**
 * Returns a value of a step as the JSON that the database stores.
 *
 * @throws What `refuse` makes, when it would not come back as it is, or is too large.
 */
export function toStoredJson(value: unknown, { what, verb, maxBytes, refuse }: StoredAs): string {
  let json: string;
  try {
    const found = findNonJson(value);
    if (found) {
      const place = found.path === "" ? what : `${what}'s ${found.path}`;
      throw refuse(
        `${place} cannot be kept: ${found.message}; ${verb} plain objects, arrays, texts and numbers`,
      );
    }
    json = JSON.stringify(value);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && String(cause.code).startsWith("INVALID_")) {
      throw cause;
    }
    // A getter or a toJSON of the value threw.
    throw refuse(`${what} cannot be written as JSON`, { cause });
  }
  // Refused here, because the queue might never answer a call that takes too long to send.
  const bytes = Buffer.byteLength(json);
  if (bytes > maxBytes) {
    throw refuse(
      `${what} holds ${bytes} bytes as JSON, of at most ${maxBytes}: store it elsewhere and ${verb} a reference`,
    );
  }
  return json;
}

/** Replaces places in bundles by those in the author's files. */
export type ToAuthor = (text: string) => Promise<string>;

/** The maximum depth of an error's causes. Nodes send five at most. */
const MAX_CAUSES = 8;

/**
 * Returns an error of a job whose stack traces, and those of its causes, name the author's files and lines. A node knows
 * only places in the bundle, because source maps stay on the hub.
 */
export async function withAuthorPlaces<Value>(
  error: Value,
  toAuthor: ToAuthor,
  causes = MAX_CAUSES,
): Promise<Value> {
  if (typeof error !== "object" || error === null || Array.isArray(error)) return error;
  const { stack, cause } = error as { stack?: unknown; cause?: unknown };
  return {
    ...error,
    ...(typeof stack === "string" && { stack: await toAuthor(stack) }),
    ...(cause !== undefined &&
      causes > 0 && { cause: await withAuthorPlaces(cause, toAuthor, causes - 1) }),
  };
}

import { inspect } from "node:util";
import type { JsonValue } from "@loom/workflow";

// An error holds at most 64 KiB in the database. A character is at most six bytes of
// JSON (\u0000), so an error within these limits, without its causes, always fits.
const MAX_BYTES = 65_536;
const MAX_NAME = 100;
const MAX_MESSAGE = 3_000;
const MAX_STACK = 7_000;
const MAX_CAUSES = 5;

/**
 * What a step threw, as the value that its job keeps: bounded, whatever was thrown.
 *
 * @param scrub - Hides secrets in a text, before the text is cut.
 */
export function describeError(error: unknown, scrub: Scrub = (text) => text): JsonValue {
  try {
    let description = describe(error, MAX_CAUSES, scrub);
    for (let causes = MAX_CAUSES - 1; causes >= 0 && isTooLarge(description); causes -= 1) {
      description = describe(error, causes, scrub);
    }
    return description;
  } catch {
    // A getter or a method of the error threw.
    return { name: "Error", message: "the step threw something that cannot be read" };
  }
}

type Scrub = (text: string) => string;

function describe(error: unknown, causes: number, scrub: Scrub): JsonValue {
  const clip = (value: unknown, max: number): string => {
    const text = scrub(typeof value === "string" ? value : inspect(value));
    return text.length <= max ? text : `${text.slice(0, max)} … (${text.length} characters)`;
  };
  if (!(error instanceof Error)) return { name: "Error", message: clip(error, MAX_MESSAGE) };
  const { name, message, stack, cause } = error;
  return {
    name: clip(name, MAX_NAME),
    message: clip(message, MAX_MESSAGE),
    ...("code" in error && typeof error.code === "string" && { code: clip(error.code, MAX_NAME) }),
    ...exitStatusOf(error),
    ...(stack && { stack: clip(stack, MAX_STACK) }),
    ...(cause !== undefined && causes > 0 && { cause: describe(cause, causes - 1, scrub) }),
  };
}

/** How a program ended, where the error is about one. */
const exitStatusOf = (error: Error): { exitCode?: number; signal?: string } => ({
  ...("exitCode" in error &&
    Number.isInteger(error.exitCode) && { exitCode: Number(error.exitCode) }),
  ...("signal" in error &&
    typeof error.signal === "string" &&
    /^SIG[A-Z0-9]+$/.test(error.signal) && { signal: error.signal.slice(0, MAX_NAME) }),
});

const isTooLarge = (value: JsonValue): boolean =>
  Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES;

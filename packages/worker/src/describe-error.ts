import { inspect } from "node:util";
import type { JsonValue } from "@loom/workflow";

// An error holds at most 64 KiB in the database. A character is at most six bytes of
// JSON (\u0000), so an error within these limits, without its causes, always fits.
const MAX_BYTES = 65_536;
const MAX_NAME = 100;
const MAX_MESSAGE = 3_000;
const MAX_STACK = 7_000;
const MAX_CAUSES = 5;

/** What a step threw, as the value that its job keeps: bounded, whatever was thrown. */
export function describeError(error: unknown): JsonValue {
  try {
    let description = describe(error, MAX_CAUSES);
    for (let causes = MAX_CAUSES - 1; causes >= 0 && isTooLarge(description); causes -= 1) {
      description = describe(error, causes);
    }
    return description;
  } catch {
    // A getter or a method of the error threw.
    return { name: "Error", message: "the step threw something that cannot be read" };
  }
}

function describe(error: unknown, causes: number): JsonValue {
  if (!(error instanceof Error)) return { name: "Error", message: clip(error, MAX_MESSAGE) };
  const { name, message, stack, cause } = error;
  return {
    name: clip(name, MAX_NAME),
    message: clip(message, MAX_MESSAGE),
    ...("code" in error && typeof error.code === "string" && { code: clip(error.code, MAX_NAME) }),
    ...(stack && { stack: clip(stack, MAX_STACK) }),
    ...(cause !== undefined && causes > 0 && { cause: describe(cause, causes - 1) }),
  };
}

function clip(value: unknown, max: number): string {
  const text = typeof value === "string" ? value : inspect(value);
  return text.length <= max ? text : `${text.slice(0, max)} … (${text.length} characters)`;
}

const isTooLarge = (value: JsonValue): boolean =>
  Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES;

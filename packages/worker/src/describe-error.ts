import type { JsonValue } from "@loom/workflow";

const MAX_TEXT = 8_000;
const MAX_CAUSES = 5;

/** What a step threw, as the value that its job keeps: bounded, whatever was thrown. */
export function describeError(error: unknown, causes = MAX_CAUSES): JsonValue {
  if (!(error instanceof Error)) return { name: "Error", message: clip(String(error)) };
  const { name, message, stack, cause } = error;
  const code = (error as { code?: unknown }).code;
  return {
    name: clip(name),
    message: clip(message),
    ...(typeof code === "string" && { code: clip(code) }),
    ...(stack && { stack: clip(stack) }),
    ...(cause !== undefined && causes > 0 && { cause: describeError(cause, causes - 1) }),
  };
}

const clip = (text: string): string =>
  text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)} … (${text.length} characters)`;

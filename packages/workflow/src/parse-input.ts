import { z } from "zod";
import { InvalidInputError } from "./errors.ts";
import type { JsonValue } from "./json.ts";
import type { AnyWorkflow } from "./workflow.ts";

/**
 * Parses the input of a run, once: what comes back is stored and given to every step.
 *
 * @param input - `undefined` counts as `{}`, so that an input with nothing but defaults can be left out.
 * @throws InvalidInputError with every place that does not fit.
 */
export function parseInput(
  { name, input: schema }: Pick<AnyWorkflow, "name" | "input">,
  input: unknown,
): JsonValue {
  const parsed = schema.safeParse(input === undefined ? {} : input);
  // defineWorkflow accepts only schemas whose output is JSON.
  if (parsed.success) return parsed.data as JsonValue;
  const issues = parsed.error.issues.map(({ path, message }) => ({
    path: z.core.toDotPath(path),
    message,
  }));
  throw new InvalidInputError(name, issues, { cause: parsed.error });
}

import type { JsonValue } from "@loom/workflow";
import { z } from "zod";

// The one place where names change: a function answers in snake_case, with the
// table's words for the keys of other rows.
const RENAMED: Readonly<Record<string, string>> = { workflow_id: "workflow", step_id: "step" };

/** The columns of one row in our names; what is inside a column is left as it is. */
function rename(row: unknown): unknown {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return row;
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      RENAMED[key] ?? key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** A row as a function answers it, checked as `schema`. */
export const row = <Schema extends z.ZodType>(schema: Schema) => z.preprocess(rename, schema);

/** A timestamp of the database's clock. */
export const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

/** JSON that travelled as text, so that the database kept every character. */
export const jsonText = z.string().transform((text, context): JsonValue => {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    context.addIssue({ code: "custom", message: "not JSON text" });
    return z.NEVER;
  }
});

import type { JsonValue } from "@loom/workflow";
import { z } from "zod";

// The one place where names change: a function answers in snake_case, with the
// table's words for the keys of other rows. Every column's name is worked out once:
// done for each row anew, it took three quarters of the time of reading a claim's answer.
const names = new Map([
  ["workflow_id", "workflow"],
  ["step_id", "step"],
]);

function nameOf(column: string): string {
  let name = names.get(column);
  if (name === undefined) {
    name = column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    names.set(column, name);
  }
  return name;
}

/** The columns of one row in our names; what is inside a column is left as it is. */
function rename(row: unknown): unknown {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return row;
  const renamed: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(row)) renamed[nameOf(column)] = value;
  return renamed;
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

import { type JsonValue, limits } from "@loom/workflow";
import { z } from "zod";

// This is the only place where names change: a function answers in snake_case, with the table's
// words for the keys of other rows. Each column's name is computed once, because doing it for each
// row took three quarters of the time to read a claim's answer.
const names = new Map([
  ["workflow_id", "workflow"],
  ["step_id", "step"],
]);

function columnName(column: string): string {
  let name = names.get(column);
  if (name === undefined) {
    name = column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    names.set(column, name);
  }
  return name;
}

/** Renames the columns of one row. Values inside a column stay as they are. */
function rename(row: unknown): unknown {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return row;
  const renamed: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(row)) renamed[columnName(column)] = value;
  return renamed;
}

/** A schema for a row in the form that a function answers. */
export const row = <Schema extends z.ZodType>(schema: Schema) => z.preprocess(rename, schema);

const guid = z.guid();
/** Whether a text has the form of a uuid. A function that takes a uuid refuses any other text, and no row has one. */
export const isUuid = (text: string): boolean => guid.safeParse(text).success;

/** A timestamp of the database's clock. */
export const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

/** A row, or a text in one, that cannot be read: it was written without Loom's functions. */
export interface UnreadableRow {
  /** The SQL function that returned it. */
  operation: string;
  /** Its key, such as a job's id or a node's name. */
  row: string;
  problem: string;
}

// Parsing is synchronous, and a schema has no other way to report something besides its result.
let noted: Omit<UnreadableRow, "operation">[] | undefined;

/** Parses an answer, and returns the rows that it left out. */
export function noting<Result>(read: () => Result): [Result, Omit<UnreadableRow, "operation">[]] {
  const outer = noted;
  const own: Omit<UnreadableRow, "operation">[] = [];
  noted = own;
  try {
    return [read(), own];
  } finally {
    noted = outer;
  }
}

/**
 * A schema for a list of rows. Each row is parsed by itself: one that cannot be read is left out
 * and noted.
 */
export const rows = <Schema extends z.ZodType>(schema: Schema) => {
  const one = row(schema);
  return z.array(z.unknown()).transform((items) =>
    items.flatMap((item): z.output<Schema>[] => {
      const read = one.safeParse(item);
      if (read.success) return [read.data];
      noted?.push({ row: describeItem(item), problem: z.prettifyError(read.error) });
      return [];
    }),
  );
};

function describeItem(item: unknown): string {
  if (typeof item !== "object" || item === null) return "a row";
  const { id, name, step_id, seq } = item as Record<string, unknown>;
  return String(id ?? name ?? step_id ?? (seq === undefined ? "a row" : `event ${seq}`));
}

/** Returns why a text is not JSON that can be parsed and printed again; undefined if it can. */
function problemOf(text: string): string | undefined {
  return depthOf(text) > limits.jsonDepth
    ? `it nests deeper than ${limits.jsonDepth} levels`
    : undefined;
}

/** Counts how deep the brackets of a JSON text nest, without recursion. */
function depthOf(text: string): number {
  // A text is at most half as deep as it is long.
  if (text.length <= 2 * limits.jsonDepth) return 0;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) {
      at += 1;
      while (at < text.length && text.charCodeAt(at) !== QUOTE) {
        at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
      }
    } else if (character === OPEN_BRACKET || character === OPEN_BRACE) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (character === CLOSE_BRACKET || character === CLOSE_BRACE) depth -= 1;
  }
  return deepest;
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Parses JSON that was sent as text, or returns the problem. */
export function readJson(text: string): { value: JsonValue } | { problem: string } {
  const problem = problemOf(text);
  if (problem !== undefined) return { problem };
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch {
    return { problem: "it is not JSON" };
  }
}

/** A schema for JSON that was sent as text, so that the database kept every character. */
export const jsonText = z.string().transform((text, context): JsonValue => {
  const read = readJson(text);
  if ("value" in read) return read.value;
  context.addIssue({ code: "custom", message: read.problem });
  return z.NEVER;
});

const placeholders = new WeakSet<object>();

/**
 * The same for readers that only show the value. A text that cannot be read is noted, and replaced
 * by a value that says so, so that the rest of the row stays visible. {@link isUnreadable}
 * recognises that value.
 */
export const shownJson = z.string().transform((text): JsonValue => {
  const read = readJson(text);
  if ("value" in read) return read.value;
  noted?.push({ row: `the text ${JSON.stringify(text.slice(0, 80))}`, problem: read.problem });
  const placeholder = {
    code: "UNREADABLE",
    message: `what is stored here cannot be read: ${read.problem}`,
    begins: text.slice(0, 200).toWellFormed(),
  };
  placeholders.add(placeholder);
  return placeholder;
});

/** Whether a value of a run or a job replaces one that could not be read. */
export const isUnreadable = (value: JsonValue): boolean =>
  typeof value === "object" && value !== null && placeholders.has(value);

/** How long a row that could not be read is remembered. */
const REMEMBER_MS = 10 * 60_000;
const MAX_REMEMBERED = 1_000;

/** The rows that could not be read recently, each once, however often it was read. */
export interface UnreadableRows {
  add(found: UnreadableRow): void;
  /** Lists the rows of the last ten minutes. */
  list(): UnreadableRow[];
}

/** @param onFound - Called with a row that was not known, or was forgotten again. */
export function createUnreadableRows(onFound: (found: UnreadableRow) => void): UnreadableRows {
  const known = new Map<string, { found: UnreadableRow; at: number }>();
  const forgetOld = () => {
    const oldest = performance.now() - REMEMBER_MS;
    for (const [key, { at }] of known) if (at < oldest) known.delete(key);
  };
  return {
    add(found) {
      forgetOld();
      const key = `${found.operation} ${found.row}`;
      const isNew = !known.has(key);
      if (isNew && known.size >= MAX_REMEMBERED) return;
      known.set(key, { found, at: performance.now() });
      if (isNew) onFound(found);
    },
    list() {
      forgetOld();
      return [...known.values()].map(({ found }) => found);
    },
  };
}

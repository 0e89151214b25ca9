import { open } from "node:fs/promises";

const MAX_SOURCE_BYTES = 1_048_576;
const LINES_AROUND = 2;
const MAX_LINE = 160;

/** A place in a file. Both count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number | null;
}

/** The lines around a place, numbered, with a mark at the column; null when the file has no such line. */
export async function codeFrame({ file, line, column }: Place): Promise<string | null> {
  const lines = await readLines(file);
  const first = Math.max(1, line - LINES_AROUND);
  const shown = lines.slice(first - 1, line + LINES_AROUND);
  if (line > lines.length) return null;
  const width = String(first + shown.length - 1).length;
  return shown
    .flatMap((text, index) => {
      const number = first + index;
      const isIt = number === line;
      const row = `${isIt ? ">" : " "} ${String(number).padStart(width)} | ${printable(text)}`;
      const isMarked = isIt && column !== null && column <= MAX_LINE;
      const mark = `  ${" ".repeat(width)} | ${" ".repeat((column ?? 1) - 1)}^`;
      return isMarked ? [row.trimEnd(), mark] : [row.trimEnd()];
    })
    .join("\n");
}

/** A line as it can be shown: a tab is one column, and nothing in it steers a terminal. */
const printable = (line: string): string =>
  line.slice(0, MAX_LINE).replaceAll("\t", " ").replace(/\p{C}/gu, "�");

/** The lines of a file's first MiB; none when it is gone, or is no file. */
export async function readLines(file: string): Promise<string[]> {
  try {
    await using handle = await open(file);
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(MAX_SOURCE_BYTES) });
    return buffer.toString("utf8", 0, bytesRead).split(/\r?\n/);
  } catch {
    return [];
  }
}

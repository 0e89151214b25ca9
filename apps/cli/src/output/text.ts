import { styleText } from "node:util";

/** Colours of `styleText` that are used. */
export type Colour = "red" | "green" | "yellow" | "cyan" | "dim" | "bold";

/** A cell: its text, and its colour on a terminal. */
export type Cell = string | { text: string; colour: Colour };

/**
 * Text of the hub, made safe for a terminal: control characters could move the cursor or set the
 * title. Line breaks stay.
 */
export const clean = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to replace
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");

/** Colours text for a stream, where that is a terminal and nobody said NO_COLOR. */
export const paint = (text: string, colour: Colour, stream: NodeJS.WriteStream): string =>
  styleText(colour, text, { stream });

/** How a state of a run, a job or a node looks. */
export function inColour(state: string): Cell {
  const colour = STATES[state];
  return colour === undefined ? state : { text: state, colour };
}

const STATES: Readonly<Record<string, Colour>> = {
  succeeded: "green",
  delivered: "green",
  ok: "green",
  online: "green",
  active: "green",
  running: "cyan",
  mapping: "cyan",
  offered: "cyan",
  waiting: "yellow",
  pending: "yellow",
  paused: "yellow",
  draining: "yellow",
  warn: "yellow",
  failed: "red",
  fail: "red",
  offline: "red",
  cancelled: "dim",
  skipped: "dim",
  blocked: "dim",
  suspended: "yellow",
};

/**
 * Lays rows out in columns under a heading. On a terminal a row fits its width: the last column is
 * cut. Elsewhere nothing is.
 */
export function toTable(
  heading: readonly string[],
  rows: readonly (readonly Cell[])[],
  stream: NodeJS.WriteStream,
): string {
  const lines = [heading.map((text) => ({ text, colour: "dim" as const })), ...rows].map((row) =>
    row.map((cell) => {
      const { text, colour } = typeof cell === "string" ? { text: cell, colour: undefined } : cell;
      return { text: clean(text).replaceAll(/\s*\n\s*/g, " "), colour };
    }),
  );
  const widths = heading.map((_, at) => Math.max(...lines.map((row) => row[at]?.text.length ?? 0)));
  const room = stream.isTTY ? stream.columns || 80 : Number.POSITIVE_INFINITY;
  return lines
    .map((row) => {
      let used = 0;
      const cells = row.map(({ text, colour }, at) => {
        const isLast = at === row.length - 1;
        const left = room - used;
        const shown = text.length > left ? `${text.slice(0, Math.max(left - 1, 0))}…` : text;
        used += (widths[at] ?? 0) + 2;
        const painted = colour && shown ? paint(shown, colour, stream) : shown;
        return isLast ? painted : painted + " ".repeat((widths[at] ?? 0) - text.length);
      });
      return cells.join("  ").trimEnd();
    })
    .join("\n");
}

const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1_000, "s"],
] as const;

/** A length of time as a person says it, such as `3m`; below ten seconds with a decimal. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.max(Math.round(ms), 0)}ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)}s`;
  const [unit, name] = UNITS.find(([least]) => ms >= least) ?? UNITS[3];
  return `${Math.floor(ms / unit)}${name}`;
}

/** How long ago an instant was, such as `3m ago`; what is to come is `in 3m`. */
export function ago(instant: string | null): string {
  if (instant === null) return "";
  const ms = Date.now() - Date.parse(instant);
  return ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`;
}

/** The beginning of a run's id, by which commands know it. */
export const shortId = (id: string): string => id.slice(0, 8);

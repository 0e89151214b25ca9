import type { JobSummary, Node, RunSummary } from "@loom/client";
import { ago, type Cell, clean, inColour, shortId } from "../output/text.ts";

/** What the screen shows. */
export interface Fleet {
  nodes: Node[];
  runs: RunSummary[];
  /** Jobs that wait for a node. */
  waiting: JobSummary[];
}

interface Size {
  /** Columns. */
  width: number;
  /** Lines. */
  height: number;
  paint?: (cell: Cell) => string;
}

/**
 * Lays the fleet out as lines that fit a screen. Machines come first and are never cut; runs and what
 * waits share the lines that are left.
 */
export function toScreen({ nodes, runs, waiting }: Fleet, size: Size): string[] {
  const { width, height, paint = (cell) => (typeof cell === "string" ? cell : cell.text) } = size;
  const busy = nodes.reduce((sum, { running }) => sum + running, 0);
  const slots = nodes.reduce((sum, node) => sum + (node.online ? node.slots : 0), 0);
  const head = `${nodes.length} nodes, ${busy} of ${slots} slots busy, ${runs.length} runs, ${waiting.length} jobs wait`;
  const draw = (row: readonly Cell[], widths: readonly number[]) =>
    toLine(row, { widths, width, paint });
  const nodeRows = nodes.map((node): Cell[] => [
    node.name,
    inColour(node.online ? node.status : "offline"),
    `${bar(node)} ${node.running}/${node.slots}`,
    node.statusNote ?? "",
  ]);
  const left = Math.max(height - nodes.length - 4, 2);
  const forRuns = Math.max(Math.ceil(left / 2), left - waiting.length - 1);
  const runRows = runs
    .slice(0, forRuns)
    .map(({ id, workflow, steps, nodes: on, createdAt }): Cell[] => [
      shortId(id),
      workflow,
      Object.entries(steps)
        .map(([state, count]) => `${count} ${state}`)
        .join(", "),
      `${on.join(", ")} ${ago(createdAt)}`.trim(),
    ]);
  const jobRows = waiting
    .slice(0, Math.max(left - runRows.length - 1, 0))
    .map(({ id, workflow, step, waitingReason }): Cell[] => [
      `job ${id}`,
      `${workflow} / ${step}`,
      { text: waitingReason?.summary ?? "is new", colour: "yellow" },
    ]);
  const lines = [
    paint({ text: cut(head, width), colour: "bold" }),
    "",
    ...nodeRows.map((row) => draw(row, [20, 10, 18])),
    "",
    ...runRows.map((row) => draw(row, [10, 20, 32])),
    ...(jobRows.length > 0 ? [""] : []),
    ...jobRows.map((row) => draw(row, [10, 28])),
  ];
  return lines.slice(0, Math.max(height, 1));
}

/** Ten characters at most, one a slot where there are so few. */
function bar({ running, slots }: Node): string {
  const length = Math.min(Math.max(slots, 1), 10);
  const full = Math.min(Math.ceil((running / Math.max(slots, 1)) * length), length);
  return "#".repeat(full) + ".".repeat(length - full);
}

function toLine(
  row: readonly Cell[],
  {
    widths,
    width,
    paint,
  }: { widths: readonly number[]; width: number; paint: (cell: Cell) => string },
): string {
  let room = width;
  let line = "";
  for (const [at, cell] of row.entries()) {
    if (room <= 0) break;
    const { text, colour } = typeof cell === "string" ? { text: cell, colour: undefined } : cell;
    const most = Math.min(widths[at] ?? room, room);
    const shown = cut(clean(text).replaceAll("\n", " "), most);
    const isLast = at === row.length - 1;
    line += colour && shown !== "" ? paint({ text: shown, colour }) : shown;
    if (!isLast) line += " ".repeat(Math.min(most - shown.length + 1, room - shown.length));
    room -= most + 1;
  }
  return line.trimEnd();
}

const cut = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, Math.max(width - 1, 0))}…` : text;

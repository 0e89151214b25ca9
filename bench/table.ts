/** A Markdown table; numbers are right-aligned, the first column is not. */
export function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, index) => (index === 0 ? "---" : "---:"));
  return [head, rule, ...rows].map(line).join("\n");
}

/** `12,345`; one decimal below 100, two below 10. */
export const toFigure = (value: number): string =>
  value.toLocaleString("en-US", {
    minimumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0,
    maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0,
  });

/** Names and values in two columns, as the formatter of this repository writes them. */
export function toFacts(lines: readonly (readonly [string, string])[]): string {
  const [left = 0, right = 0] = [0, 1].map((column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const row = (one: string, other: string) => `| ${one.padEnd(left)} | ${other.padEnd(right)} |`;
  const rule = `| ${"-".repeat(left)} | ${"-".repeat(right)} |`;
  return [row("", ""), rule, ...lines.map(([one, other]) => row(one, other))].join("\n");
}

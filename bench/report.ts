import { execFileSync } from "node:child_process";
import { arch, cpus, loadavg, totalmem } from "node:os";

/** Describes in one line where, when and by which command a measurement was made. */
export function describeRun(command: string): string {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  return [
    `\`${command}\``,
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}`,
    `${cpus().length} × ${cpu?.model.trim() ?? "unknown"} (${arch()}), ${memory} GiB, Node ${process.versions.node}`,
    `load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")} at the end`,
  ].join("; ");
}

/** The value below which this share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1);
  return sorted[Math.max(0, at)] ?? Number.NaN;
}

/** The value in the middle; of an even number of values the mean of the two that are. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = Number.NaN, high = low] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return (low + high) / 2;
}

/** The same as a quantile with one decimal. */
export const percentile = (values: readonly number[], share: number): string =>
  quantile(values, share).toFixed(1);

/** Formats a Markdown table whose columns are right-aligned, except for the first. */
export function toTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, index) => (index === 0 ? "---" : "---:"));
  return [head, rule, ...rows].map(line).join("\n");
}

/** Formats a number as `12,345`, with one decimal below 100 and two below 10. */
export const toFigure = (value: number): string =>
  value.toLocaleString("en-US", {
    minimumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0,
    maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0,
  });

/** Formats names and values as a Markdown table with aligned columns. */
export function toFacts(lines: readonly (readonly [string, string])[]): string {
  const [left = 0, right = 0] = [0, 1].map((column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const row = (one: string, other: string) => `| ${one.padEnd(left)} | ${other.padEnd(right)} |`;
  const rule = `| ${"-".repeat(left)} | ${"-".repeat(right)} |`;
  return [row("", ""), rule, ...lines.map(([one, other]) => row(one, other))].join("\n");
}

// Short texts about what the API answers, the same in the terminal and on the dashboard.
import type { ItemCounts } from "./schemas/jobs.ts";
import type { RunStep } from "./schemas/runs.ts";

/** The items of a step that maps over a list, in short: `×48 (40 open, 3 failed)`; `×?` until the list has been read. */
export function describeItems({ total, succeeded, failed, cancelled }: ItemCounts): string {
  if (total === null) return "×?";
  const open = total - succeeded - failed - cancelled;
  const parts = Object.entries({ open, failed, cancelled })
    .filter(([, count]) => count > 0)
    .map(([word, count]) => `${count} ${word}`);
  return parts.length === 0 ? `×${total}` : `×${total} (${parts.join(", ")})`;
}

const REASONS: Readonly<Record<NonNullable<RunStep["skipReason"]>, string>> = {
  need_failed: "a step that it needs did not succeed",
  need_skipped: "a step that it needs was skipped, with all steps after it",
  condition: "its condition decided that it does not run",
  nothing_failed: "it runs after a failure, and there was none",
};

/** Says why a step was skipped. */
export const describeSkip = (reason: RunStep["skipReason"]): string =>
  reason === null ? "no reason was recorded" : REASONS[reason];

const UNITS = ["B", "KiB", "MiB", "GiB"];

/** A size, such as `1.5 MiB`. */
export function describeSize(bytes: number): string {
  const at = bytes === 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1_024 ** at;
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[at]}`;
}

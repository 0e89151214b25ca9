import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import { parseWorkflowCapability } from "./node-view.ts";
import { splitCapability } from "./requirement/capability-set.ts";
import { readClause, testsOf } from "./requirement/evaluate.ts";
import { suggestNames } from "./suggest-names.ts";

/** A name that nobody knows, and known ones that look like it. */
interface Suggestion {
  readonly written: string;
  readonly known: readonly string[];
}

/** Finds names that may have been meant: of the host, and in clauses that no node meets. */
export function didYouMean(
  { host }: JobView,
  nodes: readonly NodeView[],
  missing: readonly string[],
): Suggestion[] {
  const names = nodes.map(({ name }) => name);
  const suggestions: Suggestion[] = [];
  const suggest = (written: string, known: Iterable<string>) => {
    const alike = suggestNames(written, [...new Set(known)]);
    if (alike.length > 0) suggestions.push({ written, known: alike });
  };
  if (host != null && !names.includes(host)) suggest(host, names);
  if (missing.length === 0) return suggestions;

  const offered = [...new Set(nodes.flatMap(({ capabilities }) => capabilities))].map(
    splitCapability,
  );
  const keys = new Set(offered.map(([key]) => key));
  for (const text of missing) {
    const clause = readClause(text);
    if (clause === undefined || parseWorkflowCapability(text) !== undefined) continue;
    for (const test of testsOf(clause)) {
      const values = test.key === "node" ? names : valuesOf(offered, test.key);
      if (test.kind === "compare" && test.operator === "=" && values.length > 0)
        suggest(test.value, values);
      else if (!keys.has(test.key)) suggest(test.key, keys);
    }
  }
  return suggestions;
}

const valuesOf = (
  offered: readonly (readonly [key: string, value: string | undefined])[],
  wanted: string,
): string[] =>
  offered.flatMap(([key, value]) => (key === wanted && value !== undefined ? [value] : []));

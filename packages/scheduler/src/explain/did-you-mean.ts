import { suggestNames } from "@loom/did-you-mean";
import type { Test } from "@loom/workflow";
import { readClause, splitCapability } from "../requirement/evaluate.ts";
import { type JobView, type NodeView, parseWorkflowCapability } from "../views.ts";

/** An unknown name, and similar known names. */
interface Suggestion {
  readonly written: string;
  readonly known: readonly string[];
}

/** Suggests known names for an unknown host, and for unknown names in clauses that no node meets. */
export function didYouMean(
  { host }: JobView,
  nodes: readonly NodeView[],
  missing: readonly string[],
): Suggestion[] {
  const names = nodes.map(({ name }) => name);
  const suggestions: Suggestion[] = [];
  const suggest = (written: string, known: Iterable<string>) => {
    const similar = suggestNames(written, [...new Set(known)]);
    if (similar.length > 0) suggestions.push({ written, known: similar });
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
    for (const term of clause.kind === "any" ? clause.terms : [clause]) {
      // If no node meets a negated name, every node offers that name, so it is spelt correctly.
      if (term.kind === "not") continue;
      const values = term.key === "node" ? names : valuesOf(offered, term.key);
      const wanted = valuesNamed(term);
      if (wanted.length > 0 && values.length > 0)
        for (const value of wanted) suggest(value, values);
      else if (!keys.has(term.key)) suggest(term.key, keys);
    }
  }
  return suggestions;
}

function valuesNamed(test: Test): readonly string[] {
  if (test.kind === "in") return test.values;
  return test.kind === "compare" && test.operator === "=" ? [test.value] : [];
}

const valuesOf = (
  offered: readonly (readonly [key: string, value: string | undefined])[],
  wanted: string,
): string[] =>
  offered.flatMap(([key, value]) => (key === wanted && value !== undefined ? [value] : []));

import { type Clause, InvalidClauseError, parseClause } from "./clause.ts";

/** Whether the capabilities of a node meet a clause. */
export function evaluate(clause: Clause, capabilities: readonly string[]): boolean {
  return capabilities.includes(clause.tag);
}

/**
 * Returns the clauses that the capabilities do not meet, in the order given.
 *
 * Everything that judges a requirement asks here: placing, explaining, and a node that accepts or
 * declines an offer. So an explanation cannot disagree with a decision.
 *
 * A clause that cannot be read is unmet, not an error: one bad row must not stop the placing of the
 * others, and a node does not run what it cannot judge.
 */
export function unmetClauses(
  requires: readonly string[],
  capabilities: readonly string[],
): string[] {
  return requires.filter((text) => !meets(text, capabilities));
}

function meets(text: string, capabilities: readonly string[]): boolean {
  try {
    return evaluate(parseClause(text), capabilities);
  } catch (error) {
    if (error instanceof InvalidClauseError) return false;
    throw error;
  }
}

/**
 * One thing that a step requires or prefers. {@link parseClause} parses it, {@link printClause}
 * prints it.
 */
export type Clause =
  | Term
  /** Met if at least one term is met; written `a | b`. */
  | { readonly kind: "any"; readonly terms: readonly Term[] };

/** A clause without alternatives. */
export type Term =
  | Test
  /** Written `!on-battery`; `os!=linux` is read as `!os=linux`. */
  | { readonly kind: "not"; readonly test: Test };

/** A question about the values that a node offers for one key. */
export type Test =
  /** The key is offered, with a value or without. */
  | { readonly kind: "has"; readonly key: string }
  /**
   * Met if one of the key's values passes the comparison: numbers as numbers, versions as versions.
   */
  | {
      readonly kind: "compare";
      readonly key: string;
      readonly operator: Operator;
      readonly value: string;
    }
  /** One of the key's values is one of these. */
  | { readonly kind: "in"; readonly key: string; readonly values: readonly string[] };

export type Operator = "=" | "<" | "<=" | ">" | ">=";

/** A text is not a clause. */
export class InvalidClauseError extends Error {
  override readonly name = "InvalidClauseError";
  readonly code = "INVALID_CLAUSE";
  readonly clause: string;
  /** Where reading stopped: an index into `clause`. */
  readonly position: number;
  /** A valid clause that the author may have meant. */
  readonly suggestion: string | undefined;
  /** The problem without the clause and the position. */
  readonly problem: string;
  constructor(
    clause: string,
    { position, problem, suggestion }: { position: number; problem: string; suggestion?: string },
  ) {
    const shown = clause.length > 80 ? `${clause.slice(0, 80)}…` : clause;
    super(
      `${JSON.stringify(shown)} is not a clause: ${problem} at character ${position + 1}${suggestion === undefined ? "" : `; did you mean ${JSON.stringify(suggestion)}?`}`,
    );
    this.clause = clause;
    this.position = position;
    this.problem = problem;
    this.suggestion = suggestion;
  }
}

/**
 * A value without quotes. It must not start like an operator, so that `a==b` is an error and not
 * the value `=b`.
 */
export const BARE_VALUE = /[^\s\p{C}!=<>|(),"][^\s\p{C}|(),"]*/uy;

/** Prints a clause in its canonical form, which {@link parseClause} parses to the same clause. */
export const printClause = (clause: Clause): string =>
  clause.kind === "any" ? clause.terms.map(printTerm).join(" | ") : printTerm(clause);

const printTerm = (term: Term): string =>
  term.kind === "not" ? `!${printTest(term.test)}` : printTest(term);

function printTest(test: Test): string {
  switch (test.kind) {
    case "has":
      return test.key;
    case "compare":
      return `${test.key}${test.operator}${printValue(test.value)}`;
    case "in":
      return `${test.key} in (${test.values.map(printValue).join(", ")})`;
  }
}

function printValue(value: string): string {
  BARE_VALUE.lastIndex = 0;
  return BARE_VALUE.exec(value)?.[0] === value ? value : JSON.stringify(value);
}

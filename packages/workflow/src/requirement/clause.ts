/** One thing that a step requires or prefers; {@link parseClause} reads it, {@link printClause} writes it. */
export type Clause =
  | Term
  /** At least one of several is met; written `a | b`. */
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
  /** One of the key's values compares so; numbers as numbers, versions as versions. */
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
  /** What may have been meant. */
  readonly suggestion: string | undefined;
  /** What is wrong, without the clause and the place. */
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

import type { Clause, Term, Test } from "./clause.ts";

/** Stands for itself. Not starting like an operator, so that `a==b` is an error and no value of `=b`. */
export const BARE_VALUE = /[^\s\p{C}!=<>|(),"][^\s\p{C}|(),"]*/uy;

/** Writes a clause in its one form: what {@link parseClause} reads back as the same clause. */
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

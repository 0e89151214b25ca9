import {
  type Clause,
  compareValues,
  InvalidClauseError,
  parseClause,
  type Term,
  type Test,
} from "@loom/workflow";
import type { NodeView } from "../node-view.ts";
import { capabilitySet } from "./capability-set.ts";

/** What a clause is asked of: everything that a node reports, and that it is itself (`node=<name>`). */
export type Offer = Pick<NodeView, "name" | "capabilities">;

/**
 * Whether a node meets a clause.
 *
 * A key is offered by `key` or by any `key=value`. A comparison is met when one of the key's values
 * compares so, and its negation when none does: a node without `arch` meets `!arch=arm64`.
 */
export const evaluate = (clause: Clause, offer: Offer): boolean =>
  clause.kind === "any"
    ? clause.terms.some((term) => meetsTerm(term, offer))
    : meetsTerm(clause, offer);

const meetsTerm = (term: Term, offer: Offer): boolean =>
  term.kind === "not" ? !meetsTest(term.test, offer) : meetsTest(term, offer);

function meetsTest(test: Test, offer: Offer): boolean {
  const values = valuesOf(offer, test.key);
  if (values === undefined) return false;
  return test.kind === "has" || values.some((value) => isMetBy(test, value));
}

/** Whether one value of its key meets a test. */
export function isMetBy(test: Test, value: string): boolean {
  switch (test.kind) {
    case "has":
      return true;
    case "in":
      return test.values.some((wanted) => isEqual(test.key, value, wanted));
    case "compare": {
      if (test.operator === "=") return isEqual(test.key, value, test.value);
      const order = compareValues(test.key, value, test.value);
      if (order === undefined) return false;
      if (order === 0) return test.operator === "<=" || test.operator === ">=";
      return order < 0 ? test.operator.startsWith("<") : test.operator.startsWith(">");
    }
  }
}

const isEqual = (key: string, a: string, b: string): boolean =>
  a === b || compareValues(key, a, b) === 0;

/** The values that a node offers for a key; `undefined` when it does not offer the key. */
export function valuesOf(
  { name, capabilities }: Offer,
  key: string,
): readonly string[] | undefined {
  const values = capabilitySet(capabilities).values.get(key);
  return key === "node" ? [name, ...(values ?? [])] : values;
}

/**
 * What a node offers instead of a clause, for its keys; `null` when it meets the clause.
 *
 * A clause that cannot be read is unmet, not an error: one bad row must not stop the placing of the
 * others, and a node does not run what it cannot judge.
 */
export function shortfall(text: string, offer: Offer): readonly string[] | null {
  const { shortfalls } = capabilitySet(offer.capabilities);
  const known = shortfalls.get(text);
  if (known !== undefined) return known;
  const clause = readClause(text);
  if (clause === undefined) return [];
  const found = evaluate(clause, offer) ? null : seenOf(clause, offer);
  // What is asked about a name is not asked of the set.
  if (testsOf(clause).some(({ key }) => key === "node")) return found;
  if (shortfalls.size >= MAX_READ) shortfalls.clear();
  shortfalls.set(text, found);
  return found;
}

/** Returns the clauses that a node does not meet, in the order given. */
export const unmetClauses = (requires: readonly string[], offer: Offer): string[] =>
  requires.filter((text) => shortfall(text, offer) !== null);

// Clauses come again with every job and every node; the bound is for those that never do.
const MAX_READ = 10_000;
const read = new Map<string, Clause | undefined>();

/** Parses a clause, once; `undefined` for a text that is none. */
export function readClause(text: string): Clause | undefined {
  if (read.has(text)) return read.get(text);
  if (read.size >= MAX_READ) read.clear();
  const clause = parseOrNone(text);
  read.set(text, clause);
  return clause;
}

function parseOrNone(text: string): Clause | undefined {
  try {
    return parseClause(text);
  } catch (error) {
    if (error instanceof InvalidClauseError) return undefined;
    throw error;
  }
}

/** The tests of a clause, negated or not. */
export const testsOf = (clause: Clause): Test[] =>
  (clause.kind === "any" ? clause.terms : [clause]).map((term) =>
    term.kind === "not" ? term.test : term,
  );

/** What a node offers for the keys of a clause. */
export const seenOf = (clause: Clause, offer: Offer): string[] =>
  [...new Set(testsOf(clause).map(({ key }) => key))].flatMap((key) => {
    const values = valuesOf(offer, key);
    return values?.length === 0 ? [key] : (values ?? []).map((value) => `${key}=${value}`);
  });

/** The values that requirements name for a key, as in `node=tower`. */
export const valuesWanted = (requires: readonly string[], key: string): string[] =>
  requires.flatMap((text) => {
    const clause = readClause(text);
    return clause?.kind === "compare" && clause.key === key && clause.operator === "="
      ? [clause.value]
      : [];
  });

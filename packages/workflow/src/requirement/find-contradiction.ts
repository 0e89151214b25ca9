import type { Clause, Term, Test } from "./clause.ts";
import { areVersions, compareValues, isMetBy } from "./compare-values.ts";

/** Keys that Loom reports for every machine. Each has one value, which does not change. */
export const MACHINE_KEYS: ReadonlySet<string> = new Set([
  "node",
  "os",
  "arch",
  "cpus",
  "memory-gb",
]);

/**
 * Finds clauses that no node can meet together.
 *
 * A key may have several values, so `drive=ssd` and `drive=hdd` are no contradiction. These are:
 *
 * - a clause and its negation, also where one only contains the other: `cpus>=8` and `!cpus`;
 * - comparisons by order that leave room for no value: `cpus>=8` and `cpus<4`. They are taken to ask about one value;
 * - for {@link MACHINE_KEYS}, values that differ: `os=linux` and `os=darwin`.
 *
 * Alternatives (`a | b`) contradict when each of them does.
 *
 * @returns As few of the clauses as still contradict; none where they do not, or where there are too many alternatives to tell.
 */
export function findContradiction(clauses: readonly Clause[]): readonly Clause[] {
  if (canBeMet(clauses)) return [];
  let found = clauses;
  for (const clause of clauses) {
    const others = found.filter((each) => each !== clause);
    if (!canBeMet(others)) found = others;
  }
  return found;
}

/** How many combinations of alternatives are checked. */
const MAX_CHOICES = 500;

function canBeMet(clauses: readonly Clause[]): boolean {
  const alternatives = clauses
    .map((clause) => (clause.kind === "any" ? clause.terms : [clause]))
    // Clauses without alternatives come first, so that a combination fails early.
    .sort((a, b) => a.length - b.length);
  let choices = 0;
  const choose = (index: number, chosen: readonly Term[]): boolean => {
    choices += 1;
    if (choices > MAX_CHOICES) return true;
    if (!areTogether(chosen)) return false;
    const terms = alternatives[index];
    return terms === undefined || terms.some((term) => choose(index + 1, [...chosen, term]));
  };
  return choose(0, []);
}

interface KeyTests {
  readonly wanted: Test[];
  readonly unwanted: Test[];
}

function areTogether(terms: readonly Term[]): boolean {
  const byKey = new Map<string, KeyTests>();
  for (const term of terms) {
    const test = term.kind === "not" ? term.test : term;
    const tests = byKey.get(test.key) ?? { wanted: [], unwanted: [] };
    byKey.set(test.key, tests);
    (term.kind === "not" ? tests.unwanted : tests.wanted).push(test);
  }
  return [...byKey].every(([key, tests]) => hasRoom(key, tests));
}

function hasRoom(key: string, { wanted, unwanted }: KeyTests): boolean {
  // A node without the key meets every negated clause.
  if (wanted.length === 0) return true;
  if (unwanted.some(({ kind }) => kind === "has")) return false;
  const isAllowed = (value: string): boolean =>
    !unwanted.some((test) => isMetBy(test, value)) &&
    (!MACHINE_KEYS.has(key) || wanted.every((test) => isMetBy(test, value)));
  const named = wanted.map(valuesOf);
  if (named.some((values) => values !== undefined && !values.some(isAllowed))) return false;

  const bounds = wanted.flatMap((test) => boundOf(test, false));
  if (bounds.length === 0) return true;
  // Negated bounds restrict the same value.
  bounds.push(...unwanted.flatMap((test) => boundOf(test, true)));
  return bounds.every((one) => bounds.every((other) => leaveRoom(key, one, other)));
}

/** Returns the only values that pass a test; `undefined` if they cannot be listed. */
function valuesOf(test: Test): readonly string[] | undefined {
  if (test.kind === "in") return test.values;
  return test.kind === "compare" && test.operator === "=" ? [test.value] : undefined;
}

interface Bound {
  readonly side: "lower" | "upper";
  readonly value: string;
  readonly isInside: boolean;
}

function boundOf(test: Test, isNegated: boolean): Bound[] {
  if (test.kind !== "compare" || test.operator === "=") return [];
  const isUpper = test.operator.startsWith("<") !== isNegated;
  const isInside = test.operator.endsWith("=") !== isNegated;
  return [{ side: isUpper ? "upper" : "lower", value: test.value, isInside }];
}

function leaveRoom(key: string, one: Bound, other: Bound): boolean {
  if (one.side !== "lower" || other.side !== "upper") return true;
  // Values of either kind may lie between a number and a version.
  if (areVersions(key, one.value) !== areVersions(key, other.value)) return true;
  const order = compareValues(key, one.value, other.value) ?? -1;
  return order < 0 || (order === 0 && one.isInside && other.isInside);
}

import {
  type Clause,
  InvalidClauseError,
  isMetBy,
  parseClause,
  type Term,
  type Test,
} from "@loom/workflow";
import { CODE_CAPABILITY, type NodeView, parseWorkflowCapability } from "../views.ts";

/**
 * The part of a node that clauses test: its reported capabilities, and its name (`node=<name>`).
 */
export type NodeCapabilities = Pick<NodeView, "name" | "capabilities">;

/**
 * Whether a node meets a clause.
 *
 * A node offers a key with `key` or with any `key=value`. A comparison is met when one of the key's
 * values meets it. Its negation is met when none does, so a node without `arch` meets
 * `!arch=arm64`.
 */
export const evaluate = (clause: Clause, node: NodeCapabilities): boolean =>
  clause.kind === "any"
    ? clause.terms.some((term) => meetsTerm(term, node))
    : meetsTerm(clause, node);

const meetsTerm = (term: Term, node: NodeCapabilities): boolean =>
  term.kind === "not" ? !meetsTest(term.test, node) : meetsTest(term, node);

function meetsTest(test: Test, node: NodeCapabilities): boolean {
  const values = valuesOf(node, test.key);
  if (values === undefined) {
    // A node that accepts code fetches what it does not have.
    const isCode = test.kind === "has" && parseWorkflowCapability(test.key) !== undefined;
    return isCode && valuesOf(node, CODE_CAPABILITY) !== undefined;
  }
  return test.kind === "has" || values.some((value) => isMetBy(test, value));
}

/** Returns the values that a node offers for a key; `undefined` if it does not offer the key. */
export function valuesOf(
  { name, capabilities }: NodeCapabilities,
  key: string,
): readonly string[] | undefined {
  const values = capabilitySet(capabilities).values.get(key);
  return key === "node" ? [name, ...(values ?? [])] : values;
}

/**
 * Returns what a node offers for the keys of a clause that it does not meet; `null` if it meets the
 * clause.
 *
 * An invalid clause is unmet, not an error. So one bad row does not stop the placing of others, and
 * a node does not run a job that it cannot evaluate.
 */
export function shortfall(text: string, node: NodeCapabilities): readonly string[] | null {
  const { shortfalls } = capabilitySet(node.capabilities);
  const known = shortfalls.get(text);
  if (known !== undefined) return known;
  const clause = readClause(text);
  if (clause === undefined) return [];
  const found = evaluate(clause, node) ? null : seenOf(clause, node);
  // The result for a node's name is not cached with its set of capabilities.
  if (testsOf(clause).some(({ key }) => key === "node")) return found;
  if (shortfalls.size >= MAX_READ) shortfalls.clear();
  shortfalls.set(text, found);
  return found;
}

/** Returns the clauses that a node does not meet, in the order given. */
export const unmetClauses = (requires: readonly string[], node: NodeCapabilities): string[] =>
  requires.filter((text) => shortfall(text, node) !== null);

// The same clauses come with every job and every node. The limit bounds clauses that come only
// once.
const MAX_READ = 10_000;
const read = new Map<string, Clause | undefined>();

/** Parses a clause once; `undefined` for a text that is not a clause. */
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

/** Returns the tests of a clause, negated or not. */
const testsOf = (clause: Clause): Test[] =>
  (clause.kind === "any" ? clause.terms : [clause]).map((term) =>
    term.kind === "not" ? term.test : term,
  );

/** Returns what a node offers for the keys of a clause. */
export const seenOf = (clause: Clause, node: NodeCapabilities): string[] =>
  [...new Set(testsOf(clause).map(({ key }) => key))].flatMap((key) => {
    const values = valuesOf(node, key);
    return values?.length === 0 ? [key] : (values ?? []).map((value) => `${key}=${value}`);
  });

/** Returns the values that requirements name for a key, as in `node=tower`. */
export const valuesWanted = (requires: readonly string[], key: string): string[] =>
  requires.flatMap((text) => {
    const clause = readClause(text);
    return clause?.kind === "compare" && clause.key === key && clause.operator === "="
      ? [clause.value]
      : [];
  });

/** Parsed capabilities. Nodes with equal capabilities share a set and its cache. */
interface CapabilitySet {
  /** By key; a tag has no values. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The capabilities offered instead of each clause; `null` for a clause that is met. */
  readonly shortfalls: Map<string, readonly string[] | null>;
}

// Looked up by identity first, so that an array is read once. The limits bound sets that come only
// once.
const byArray = new WeakMap<readonly string[], CapabilitySet>();
const byContent = new Map<string, CapabilitySet>();
const MAX_SETS = 20_000;

/** Reads capabilities. Equal ones in the same order give the same set. */
function capabilitySet(capabilities: readonly string[]): CapabilitySet {
  const known = byArray.get(capabilities);
  if (known !== undefined) return known;
  const content = capabilities.join("\0");
  let set = byContent.get(content);
  if (set === undefined) {
    if (byContent.size >= MAX_SETS) byContent.clear();
    set = { values: valuesByKey(capabilities), shortfalls: new Map() };
    byContent.set(content, set);
  }
  byArray.set(capabilities, set);
  return set;
}

function valuesByKey(capabilities: readonly string[]): Map<string, string[]> {
  const byKey = new Map<string, string[]>();
  for (const capability of capabilities) {
    const [key, value] = splitCapability(capability);
    let values = byKey.get(key);
    if (values === undefined) {
      values = [];
      byKey.set(key, values);
    }
    if (value !== undefined) values.push(value);
  }
  return byKey;
}

/** Splits `gpu.vram-gb=24` into key and value. A tag has no value. */
export function splitCapability(capability: string): [key: string, value: string | undefined] {
  const equals = capability.indexOf("=");
  return equals === -1
    ? [capability, undefined]
    : [capability.slice(0, equals), capability.slice(equals + 1)];
}

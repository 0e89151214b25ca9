import { type Clause, isMetBy, MACHINE_KEYS, type Term, type Test } from "@loom/workflow";
import { evaluate, type NodeCapabilities, splitCapability, valuesOf } from "./evaluate.ts";

/** Capabilities to add to a node, and to remove from it. */
export interface CapabilityChange {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/**
 * Returns the change of a node's capabilities that meets a clause; `undefined` if no such change
 * exists.
 */
export function meet(clause: Clause, node: NodeCapabilities): CapabilityChange | undefined {
  for (const term of clause.kind === "any" ? clause.terms : [clause]) {
    const change = meetTerm(term, node);
    if (change !== undefined && evaluate(clause, applyChange(change, node))) return change;
  }
  return undefined;
}

export const applyChange = (
  { add, remove }: CapabilityChange,
  { name, capabilities }: NodeCapabilities,
): NodeCapabilities => ({
  name,
  capabilities: [...capabilities.filter((each) => !remove.includes(each)), ...add],
});

function meetTerm(term: Term, node: NodeCapabilities): CapabilityChange | undefined {
  const { key } = term.kind === "not" ? term.test : term;
  // A report does not change the properties of a machine.
  if (MACHINE_KEYS.has(key) && valuesOf(node, key) !== undefined) return undefined;
  if (term.kind === "not")
    return {
      add: [],
      remove: node.capabilities.filter((each) => isMetByCapability(term.test, each)),
    };
  const value = valueFor(term);
  return { add: [value === undefined ? key : `${key}=${value}`], remove: [] };
}

function isMetByCapability(test: Test, capability: string): boolean {
  const [key, value] = splitCapability(capability);
  if (key !== test.key) return false;
  return test.kind === "has" || (value !== undefined && isMetBy(test, value));
}

/** A value that passes a test. */
function valueFor(test: Test): string | undefined {
  switch (test.kind) {
    case "has":
      return undefined;
    case "in":
      return test.values[0];
    case "compare":
      return nextTo(test);
  }
}

/**
 * Returns the wanted value, or one just beyond it: a whole step for a number, the next or an early
 * part for a version.
 */
function nextTo(test: Extract<Test, { kind: "compare" }>): string {
  const { operator, value } = test;
  // Build metadata does not count, so nothing can be appended to it.
  const [version = value] = value.split("+");
  const near =
    operator === ">"
      ? [String(Number(value) + 1), `${version}.1`]
      : operator === "<"
        ? [String(Number(value) - 1), `${version}-rc`, `${version}~0`, "0"]
        : [value];
  return near.find((each) => isMetBy(test, each)) ?? value;
}

import type { Clause, Term, Test } from "@loom/workflow";
import { splitCapability } from "./capability-set.ts";
import { evaluate, isMetBy, type Offer, valuesOf } from "./evaluate.ts";

/** What a machine is; a person changes the machine and not the capability. */
const FIXED = new Set(["node", "os", "arch"]);

/** Capabilities to add to a node, and to take from it. */
export interface CapabilityChange {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/** What a node would have to offer to meet a clause; `undefined` when no change of its own would. */
export function meet(clause: Clause, offer: Offer): CapabilityChange | undefined {
  for (const term of clause.kind === "any" ? clause.terms : [clause]) {
    const change = meetTerm(term, offer);
    if (change !== undefined && evaluate(clause, applyChange(change, offer))) return change;
  }
  return undefined;
}

export const applyChange = (
  { add, remove }: CapabilityChange,
  { name, capabilities }: Offer,
): Offer => ({
  name,
  capabilities: [...capabilities.filter((each) => !remove.includes(each)), ...add],
});

function meetTerm(term: Term, offer: Offer): CapabilityChange | undefined {
  const { key } = term.kind === "not" ? term.test : term;
  if (FIXED.has(key) && valuesOf(offer, key) !== undefined) return undefined;
  if (term.kind === "not")
    return {
      add: [],
      remove: offer.capabilities.filter((each) => isMetByCapability(term.test, each)),
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

/** The wanted value, or one just beyond it: a whole step for a number, the next part for a version. */
function nextTo(test: Extract<Test, { kind: "compare" }>): string {
  const { operator, value } = test;
  const near =
    operator === ">"
      ? [String(Number(value) + 1), `${value}.1`]
      : operator === "<"
        ? [String(Number(value) - 1), `${value}-0`, "0", "0-0"]
        : [value];
  return near.find((each) => isMetBy(test, each)) ?? value;
}

import type { JobView } from "../job-view.ts";
import { parseWorkflowCapability } from "../node-view.ts";
import { evaluate, type Offer, readClause, shortfall } from "../requirement/evaluate.ts";
import { applyChange, meet } from "../requirement/meet.ts";
import { type Filter, fits, type Problem } from "../rule.ts";

/** Keeps nodes that meet every clause the job requires. The version of its workflow is `hasVersion`'s. */
export const hasCapabilities: Filter<Pick<JobView, "requires">, Offer> = {
  name: "has-capabilities",
  about: "ability",
  key: ({ requires }) => requires.join("\n"),
  check: ({ requires }, node) => {
    let problems: Problem[] | undefined;
    for (const text of requires) {
      if (parseWorkflowCapability(text) !== undefined) continue;
      const problem = problemWith(text, node);
      if (problem !== undefined) problems = [...(problems ?? []), problem];
    }
    return problems ?? fits;
  },
  mend: ({ requires }, node) => {
    const actions: string[] = [];
    let offer: Offer = node;
    // What has to go goes first: what is added then counts.
    for (const text of requires.toSorted(
      (a, b) => Number(b.startsWith("!")) - Number(a.startsWith("!")),
    )) {
      const clause = readClause(text);
      if (clause === undefined) return undefined;
      if (parseWorkflowCapability(text) !== undefined || evaluate(clause, offer)) continue;
      const change = meet(clause, offer);
      if (change === undefined) return undefined;
      if (change.add.length > 0) actions.push(`add ${change.add.join(", ")} to ${node.name}`);
      if (change.remove.length > 0)
        actions.push(`take ${change.remove.join(", ")} from ${node.name}`);
      offer = applyChange(change, offer);
    }
    return { action: actions.join(" and "), node: { capabilities: offer.capabilities } };
  },
};

function problemWith(text: string, node: Offer): Problem | undefined {
  const seen = shortfall(text, node);
  if (seen === null) return undefined;
  if (readClause(text) === undefined) {
    return { code: "invalid_clause", reason: `cannot judge ${JSON.stringify(text)}`, clause: text };
  }
  return {
    code: "missing_capability",
    reason:
      seen.length === 0 ? `lacks ${text}` : `has ${seen.join(", ")} where ${text} is required`,
    clause: text,
    seen,
  };
}

import type { JobView } from "../job-view.ts";
import { parseWorkflowCapability } from "../node-view.ts";
import { type Offer, unmetClauses } from "../requirement/evaluate.ts";
import { type Filter, fits, type Problem } from "../rule.ts";

/** Keeps nodes that have the code of the job's workflow, in the version that its run was planned with. */
export const hasVersion: Filter<Pick<JobView, "requires">, Offer> = {
  name: "has-version",
  about: "ability",
  key: ({ requires }) => requires.filter(isVersion).join("\n"),
  check: ({ requires }, node) => {
    const unmet = unmetClauses(requires.filter(isVersion), node);
    return unmet.length === 0 ? fits : unmet.map((clause) => problemWith(clause, node));
  },
  mend: ({ requires }, node) => {
    const unmet = unmetClauses(requires.filter(isVersion), node);
    return {
      action: `bring ${unmet.join(", ")} to ${node.name}`,
      node: { capabilities: [...node.capabilities, ...unmet] },
    };
  },
};

const isVersion = (clause: string): boolean => parseWorkflowCapability(clause) !== undefined;

function problemWith(clause: string, { capabilities }: Offer): Problem {
  const { name, version } = parseWorkflowCapability(clause) ?? { name: clause, version: undefined };
  const seen = capabilities.flatMap((each) => {
    const offered = parseWorkflowCapability(each);
    return offered?.name === name && offered.version !== undefined ? [offered.version] : [];
  });
  return {
    code: "version",
    reason:
      seen.length === 0 || version === undefined
        ? `does not have the code of workflow ${name}`
        : `has version ${seen.join(", ")} of workflow ${name}, not ${version}`,
    clause,
    seen,
  };
}

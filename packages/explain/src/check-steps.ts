import type { PlanVerdict } from "@loom/client";
import { stepVerdictSchema, verdictKind } from "@loom/client/schemas";
import { type JobView, type NodeView, type Verdict, verdict } from "@loom/scheduler";

/** A step that is about to be stored. */
export type AskedStep = JobView & {
  readonly step: string;
  /** What it waits for, where no node runs it. */
  readonly wait?: object | null | undefined;
};

const WITHOUT_NODE: Verdict = {
  verdict: "now",
  code: "placeable",
  summary: "it needs no node",
  fix: null,
  didYouMean: [],
};

/** A verdict for each step, in their order. Steps with equal needs are checked once. */
export function checkSteps(steps: readonly AskedStep[], nodes: readonly NodeView[]): PlanVerdict {
  const known = new Map<string, Verdict>();
  const verdicts = steps.map((step) => {
    if (step.wait) return stepVerdictSchema.parse({ step: step.step, ...WITHOUT_NODE });
    const need = needOf(step);
    const found = known.get(need) ?? verdict(step, nodes);
    known.set(need, found);
    return stepVerdictSchema.parse({ step: step.step, ...found });
  });
  return { verdict: worstOf(verdicts), steps: verdicts };
}

/** The worst verdict: a run succeeds only when all its steps can run. */
const worstOf = (verdicts: readonly Pick<Verdict, "verdict">[]): Verdict["verdict"] =>
  verdictKind.options.findLast((each) => verdicts.some((one) => one.verdict === each)) ?? "now";

/** Equal for steps with equal needs. */
export const needOf = ({ requires, host, concurrency }: JobView): string =>
  JSON.stringify([requires, host, concurrency]);

import { z } from "@hono/zod-openapi";
import type { Queue } from "@loom/queue";
import {
  explain,
  type JobView,
  type NodeView,
  type Verdict,
  verdict,
  workflowCapability,
} from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import type { RouteDeps } from "../hub-context.ts";
import { ProblemError } from "../problem.ts";
import { toExplanationView } from "../views/explanation.ts";
import { type PlanVerdict, stepVerdictView, verdictKind } from "../views/verdict.ts";
import { weighNode } from "./weigh.ts";

/** A job that is about to be stored. */
export type AskedStep = JobView & { readonly step: string };

/** What a request says that is to be stored whether or not a node could ever run it. */
export const allowUnsatisfiable = z.boolean().optional().openapi({
  description: "Store it although no known node could ever run it: it waits for one that can",
});

/** Of the steps that no node could run, how many are explained node by node. */
const MAX_EXPLAINED = 5;

/** What was found of steps that are about to be stored. */
export interface JudgedPlan {
  verdict: PlanVerdict;
  /** Indexes of the steps that no known node could ever run. */
  impossible: readonly number[];
  /** Problem `UNSATISFIABLE`, which explains them. */
  refusal(): ProblemError;
}

/**
 * Says what will become of steps as the nodes are now.
 *
 * Nothing counts as impossible before the hub's own node is known, nor where no node is: the hub, or the
 * whole system, has only just started.
 */
export async function judgePlan(
  steps: readonly AskedStep[],
  { queue, node }: Pick<RouteDeps, "queue" | "node">,
): Promise<JudgedPlan> {
  const nodes = (await queue.listNodes()).map(weighNode);
  const judged = judgeSteps(steps, nodes);
  const isUp = nodes.some(({ name }) => node === undefined || name === node);
  const impossible = judged.steps.flatMap(({ verdict: found }, index) =>
    isUp && found === "never" ? [index] : [],
  );
  return {
    verdict: judged,
    impossible,
    refusal: () => {
      const refused = new Set(impossible);
      return unsatisfiable(
        steps.filter((_, index) => refused.has(index)),
        nodes,
      );
    },
  };
}

/** The same of a workflow that nobody has given an input: a host that follows from that is not asked about. */
export async function judgeWorkflow(workflow: AnyWorkflow, queue: Queue): Promise<PlanVerdict> {
  const code = workflowCapability(workflow.name, workflow.version);
  const steps = workflow.steps.map(({ name, requires, host }) => ({
    step: name,
    requires: [...workflow.requires, ...requires, code],
    host: typeof host === "function" ? null : host,
  }));
  return judgeSteps(steps, (await queue.listNodes()).map(weighNode));
}

/** A verdict for each step, in their order. Steps of equal needs are judged once. */
function judgeSteps(steps: readonly AskedStep[], nodes: readonly NodeView[]): PlanVerdict {
  const known = new Map<string, Verdict>();
  const judged = steps.map((step) => {
    const need = needOf(step);
    const found = known.get(need) ?? verdict(step, nodes);
    known.set(need, found);
    return stepVerdictView.parse({ step: step.step, ...found });
  });
  return { verdict: worstOf(judged), steps: judged };
}

/** The worst of verdicts: a run comes to its end only when all its steps can run. */
const worstOf = (verdicts: readonly Pick<Verdict, "verdict">[]): Verdict["verdict"] =>
  verdictKind.options.findLast((each) => verdicts.some((one) => one.verdict === each)) ?? "now";

const needOf = ({ requires, host, concurrency }: JobView): string =>
  JSON.stringify([requires, host, concurrency]);

function unsatisfiable(steps: readonly AskedStep[], nodes: readonly NodeView[]): ProblemError {
  const byNeed = new Map(steps.map((step) => [needOf(step), step]));
  const explanations = [...byNeed.values()].slice(0, MAX_EXPLAINED).map((step) => ({
    step: step.step,
    explanation: toExplanationView(explain(step, nodes)),
  }));
  const names = [...new Set(steps.map(({ step }) => step))];
  const meant = explanations.flatMap(({ explanation }) => explanation.didYouMean);
  return new ProblemError({
    title: "No node could run it",
    status: 422,
    code: "UNSATISFIABLE",
    detail: explanations
      .map(({ step, explanation }) => `step ${step}: ${explanation.summary}`)
      .join("; "),
    hint: [
      ...explanations.flatMap(({ explanation }) => explanation.fix ?? []).slice(0, 1),
      "or start it with allowUnsatisfiable, and it waits for a node that can",
    ].join(", "),
    errors: names.slice(0, MAX_EXPLAINED).map((step) => ({
      path: `steps.${step}`,
      message: "no known node could ever run it",
    })),
    suggestions: [...new Set(meant.flatMap(({ known }) => known))],
    explanations,
  });
}

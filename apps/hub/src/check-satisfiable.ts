import type { PlanVerdict } from "@loom/client";
import { type AskedStep, checkSteps, needOf, toExplanation, toScoredNode } from "@loom/explain";
import { auditedOnce, type ProblemError, problem, type RequestContext } from "@loom/http";
import { type Queue, QueueRequestError, type StartedRun } from "@loom/queue";
import { explain, type NodeView, workflowCapability } from "@loom/scheduler";
import type { WorkflowManifest } from "@loom/workflow";
import type { HubContext } from "./hub-context.ts";

/** How many of the impossible steps are explained node by node. */
const MAX_EXPLAINED = 5;

/** The result of a check. */
export interface CheckedPlan {
  verdict: PlanVerdict;
  /** Indexes of the steps that no known node could ever run. */
  impossible: readonly number[];
  /** Problem `UNSATISFIABLE`, which explains them. */
  refusal(): ProblemError;
}

/**
 * Checks whether the known nodes can ever run these steps.
 *
 * No step counts as impossible before the hub's own node is known, or while no node is: the hub, or the whole
 * system, has just started.
 */
export async function checkSatisfiable(
  steps: readonly AskedStep[],
  { queue, node }: Pick<HubContext, "queue" | "node">,
): Promise<CheckedPlan> {
  const nodes = (await queue.listNodes()).map(toScoredNode);
  const checked = checkSteps(steps, nodes);
  const isUp = nodes.some(({ name }) => node === undefined || name === node);
  const impossible = checked.steps.flatMap(({ verdict: found }, index) =>
    isUp && found === "never" ? [index] : [],
  );
  return {
    verdict: checked,
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

/** Checks a workflow before it has an input. Hosts that depend on the input are left out. */
export async function checkWorkflow(
  workflow: WorkflowManifest,
  queue: Queue,
): Promise<PlanVerdict> {
  const code = workflowCapability(workflow.name, workflow.version);
  const steps = workflow.steps.map(({ name, requires, host, wait }) => ({
    step: name,
    wait,
    requires: [...workflow.requires, ...requires, code],
    host,
  }));
  return checkSteps(steps, (await queue.listNodes()).map(toScoredNode));
}

function unsatisfiable(steps: readonly AskedStep[], nodes: readonly NodeView[]): ProblemError {
  const byNeed = new Map(steps.map((step) => [needOf(step), step]));
  const explanations = [...byNeed.values()].slice(0, MAX_EXPLAINED).map((step) => ({
    step: step.step,
    explanation: toExplanation(explain(step, nodes)),
  }));
  const names = [...new Set(steps.map(({ step }) => step))];
  return problem("UNSATISFIABLE", explanations, names.slice(0, MAX_EXPLAINED));
}

/**
 * Stores what passed the check.
 *
 * An earlier request may have stored it already, when nodes were different: a retry after a lost response, or a
 * request with the same key. It must get the first answer, so the call is made even for impossible items. The call
 * lists them in `existing`, and the database refuses it if one of them does not exist yet.
 *
 * @param existing - Indexes of the items that must already exist.
 * @throws ProblemError `UNSATISFIABLE` when one of them does not.
 */
export async function storeChecked<Stored>(
  c: RequestContext,
  {
    queue,
    existing,
    refusal,
  }: Pick<HubContext, "queue"> & Pick<CheckedPlan, "refusal"> & { existing: readonly number[] },
  store: (queue: Queue) => Promise<Stored>,
): Promise<Stored> {
  try {
    return await store(await auditedOnce(c, queue, existing));
  } catch (error) {
    if (error instanceof QueueRequestError && error.code === "NOT_EXISTING") throw refusal();
    throw error;
  }
}

/** A run to start. */
interface AskedRun {
  steps: readonly (AskedStep & { readonly after: readonly string[] })[];
  allowUnsatisfiable?: boolean | undefined;
  start: (queue: Queue) => Promise<StartedRun>;
}

/**
 * Starts a run and responds with its verdict.
 *
 * @throws ProblemError `UNSATISFIABLE` when no known node could ever run one of its steps, unless the request
 *   allows that or the run already exists.
 */
export async function startChecked(
  c: RequestContext,
  hub: Pick<HubContext, "queue" | "node" | "onJobsAdded">,
  { steps, allowUnsatisfiable = false, start }: AskedRun,
) {
  const { verdict, impossible, refusal } = await checkSatisfiable(steps, hub);
  const existing = allowUnsatisfiable || impossible.length === 0 ? [] : [0];
  const started = await storeChecked(c, { queue: hub.queue, existing, refusal }, start);
  hub.onJobsAdded(steps.flatMap(({ host, after }) => (host && after.length === 0 ? [host] : [])));
  c.set("made", { runId: started.runId });
  const self = `/api/loom/runs/${started.runId}`;
  const links = { self, events: `${self}/events` };
  return c.json({ ...started, links, verdict }, 202, { location: self });
}

import type { ClaimedJob } from "@loom/queue";
import { capabilitiesOf, unmetClauses } from "@loom/scheduler";
import type { AnyWorkflow, Step } from "@loom/workflow";

/**
 * The step that a job asks for, or why this node declines it: the same check that
 * placed the job, against what the node offers now.
 */
export function findStep(
  job: ClaimedJob,
  node: { name: string; capabilities: readonly string[] },
  workflows: ReadonlyMap<string, AnyWorkflow>,
): Step | { declined: string } {
  const unmet = unmetClauses(job.requires, capabilitiesOf(node));
  if (unmet.length > 0) return { declined: `${node.name} lacks ${unmet.join(", ")}` };
  const step = workflows.get(job.workflow)?.steps.find(({ name }) => name === job.step);
  if (!step) {
    return { declined: `${node.name} has no step ${job.step} in workflow ${job.workflow}` };
  }
  return step;
}

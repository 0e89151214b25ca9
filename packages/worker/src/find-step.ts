import type { ClaimedJob } from "@loom/queue";
import { hasCapabilities, hasVersion, judge } from "@loom/scheduler";
import type { AnyWorkflow, Step } from "@loom/workflow";

/** Why a node does not run a job that was offered to it. */
export interface Declined {
  declined: string;
}

/** Of the rules that placed the job, those that only the node can answer for this moment. */
const ABOUT_REQUIREMENTS = [hasCapabilities, hasVersion];

/**
 * The step that a job asks for, or why this node declines it: the same check that
 * placed the job, against what the node offers now.
 */
export function findStep(
  job: Pick<ClaimedJob, "requires" | "workflow" | "step">,
  node: { name: string; capabilities: readonly string[] },
  workflows: ReadonlyMap<string, AnyWorkflow>,
): Step | Declined {
  const failures = judge(ABOUT_REQUIREMENTS, job, node);
  if (failures.length > 0) {
    return { declined: `${node.name} ${failures.map(({ reason }) => reason).join(" and ")}` };
  }
  const step = workflows.get(job.workflow)?.steps.find(({ name }) => name === job.step);
  return step ?? { declined: `${node.name} has no step ${job.step} in workflow ${job.workflow}` };
}

import type { JobWait, Node } from "@loom/queue";
import { explain, type JobView, type NodeView } from "@loom/scheduler";
import { type ExplanationView, toExplanationView } from "../views/explanation.ts";
import type { Hold, JobExplanation } from "../views/job-explanation.ts";
import { weighJob, weighNode } from "./weigh.ts";

/**
 * Says why a job is where it is. What it is judged by are the facts and the rules of placing, so the two
 * cannot disagree; what holds a job up before anybody looks for a node comes on top.
 *
 * @param only - Report of this node alone, however many are known.
 */
export function explainJob(
  wait: JobWait,
  known: readonly Node[],
  only?: string | undefined,
): JobExplanation {
  const { job } = wait;
  const host = "targetHost" in job ? job.targetHost : null;
  const about = {
    job: job.id,
    state: job.state,
    host,
    waitingReason: "waitingReason" in job ? job.waitingReason : null,
    placement: "placement" in job ? job.placement : null,
  };
  if (!isOpen(job.state)) {
    const summary = job.state === "running" ? `runs on ${host}` : `is ${job.state}`;
    const code = job.state === "running" ? "running" : "finished";
    return { ...about, code, summary, holds: [], explanation: null };
  }
  const isOffered = job.state === "pending" && !job.hostPinned;
  const nodes = known.map(weighNode).map((node) =>
    // The slot that it holds itself keeps nobody from anything.
    isOffered && node.name === host ? { ...node, busy: node.busy - 1 } : node,
  );
  const explanation = explainNeed(weighJob(wait.weighed), nodes, only);
  const holds = holdsOf(wait);
  const [first] = holds;
  if (first) return { ...about, code: first.code, summary: first.summary, holds, explanation };
  if (isOffered) {
    const summary = `is offered to ${host}, which has not claimed it yet`;
    return { ...about, code: "offered", summary, holds, explanation };
  }
  const { code, summary } = explanation;
  return { ...about, code, summary, holds, explanation };
}

/** Every filter and clause asked of every node, or told of one node only. */
export function explainNeed(
  job: JobView,
  nodes: readonly NodeView[],
  only?: string | undefined,
): ExplanationView {
  const explanation = explain(job, nodes);
  if (only === undefined) return toExplanationView(explanation);
  const one = explain(
    job,
    nodes.filter(({ name }) => name === only),
  );
  return toExplanationView({ ...explanation, nodes: one.nodes });
}

const isOpen = (state: string): boolean => ["blocked", "waiting", "pending"].includes(state);

function holdsOf({ job, openSteps, isPaused, dueInMs }: JobWait): Hold[] {
  const holds: Hold[] = [];
  if (openSteps.length > 0) {
    const steps = openSteps.map(({ step, state }) => `${step} (${state})`).join(", ");
    holds.push({ code: "dependency", summary: `comes after ${steps}`, fix: null });
  }
  if (isPaused) {
    holds.push({
      code: "paused_workflow",
      summary: `its workflow ${job.workflow} is paused`,
      fix: `resume it: POST /api/loom/strands/${job.workflow}/resume`,
    });
  }
  if (dueInMs > 0) {
    const summary = `is not due before ${job.runAt.toISOString()}`;
    holds.push({ code: "not_due", summary, fix: null });
  }
  return holds;
}

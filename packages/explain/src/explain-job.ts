import type { Explanation, Hold, JobExplanation } from "@loom/client";
import { explanationSchema } from "@loom/client/schemas";
import type { Job, JobWait, Node } from "@loom/queue";
import {
  type Explanation as Explained,
  explain,
  type JobView,
  type NodeView,
} from "@loom/scheduler";
import { toScoredJob, toScoredNode } from "./scored.ts";

/**
 * Explains why a job is in its state. It uses the facts and rules of placing, so the two cannot disagree. Reasons
 * why a job is not placed yet, such as an open dependency, come first.
 *
 * @param only - Reports on this node alone.
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
  if (job.state === "suspended") {
    const { code = "suspended", summary = "it is suspended" } = job.waitingReason ?? {};
    return { ...about, code, summary, holds: holdsOfWait(job), explanation: null };
  }
  if (job.state === "mapping") {
    const summary = summarizeItems(job);
    return { ...about, code: "mapping", summary, holds: [], explanation: null };
  }
  if (!isOpen(job.state)) {
    const summary = job.state === "running" ? `runs on ${host}` : `is ${job.state}`;
    const code = job.state === "running" ? "running" : "finished";
    return { ...about, code, summary, holds: [], explanation: null };
  }
  const isOffered = job.state === "pending" && !job.hostPinned;
  const nodes = known.map(toScoredNode).map((node) =>
    // The slot that this job itself holds does not count.
    isOffered && node.name === host ? { ...node, busy: node.busy - 1 } : node,
  );
  const explanation = explainNeed(toScoredJob(wait.waiting), nodes, only);
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

/** What a step waits for that no node runs, with the command that ends it. */
function holdsOfWait({ id, waitingReason }: Extract<Job, { state: "suspended" }>): Hold[] {
  if (waitingReason === null) return [];
  const { code, summary, event, key } = waitingReason;
  switch (code) {
    case "sleep":
      return [{ code, summary, fix: null }];
    case "signal": {
      const quoted = key === undefined ? "" : ` --key ${quote(String(key))}`;
      return [{ code, summary, fix: `loom signal ${event}${quoted}` }];
    }
    case "approval":
      return [{ code, summary, fix: `loom approve ${id}` }];
    default:
      return [];
  }
}

/** A word for a shell. */
const quote = (text: string): string =>
  /^[\w.:/@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** Checks every filter and clause against every node; `only` limits the report to one node. */
export function explainNeed(
  job: JobView,
  nodes: readonly NodeView[],
  only?: string | undefined,
): Explanation {
  const explanation = explain(job, nodes);
  if (only === undefined) return toExplanation(explanation);
  const one = explain(
    job,
    nodes.filter(({ name }) => name === only),
  );
  return toExplanation({ ...explanation, nodes: one.nodes });
}

/** An explanation as the API shows it. */
export const toExplanation = ({ fix, ...explanation }: Explained): Explanation =>
  explanationSchema.parse({ ...explanation, fix: fix?.action ?? null });

/** A step that maps over a list does not wait itself: each of its items has an explanation of its own. */
function summarizeItems({ items, cancelRequestedAt }: Extract<Job, { state: "mapping" }>): string {
  if (items?.total == null) return "is about to get its items";
  const { total, made, succeeded, failed, cancelled } = items;
  const ended = succeeded + failed + cancelled;
  const failures = failed > 0 ? `, ${failed} of them failed` : "";
  if (cancelRequestedAt !== null) {
    return `is cancelled: ${made - ended} items that run have to be stopped`;
  }
  const rest = made < total ? `, and ${total - made} have no job yet` : "";
  return `${ended} of its ${total} items have ended${failures}${rest}: ask for one of the others`;
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
    const why = "waitingReason" in job && job.waitingReason ? `: ${job.waitingReason.summary}` : "";
    const summary = `is not due before ${job.runAt.toISOString()}${why}`;
    holds.push({ code: "not_due", summary, fix: null });
  }
  return holds;
}

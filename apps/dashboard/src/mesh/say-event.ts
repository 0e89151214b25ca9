import type { Event } from "@loom/hub/client";
import type { Mesh } from "./mesh.ts";
import { sayReason } from "./say-reason.ts";

/** An event in words, such as `remote started on pop-os`; undefined for what is told by another one. */
export function sayEvent(
  { type, jobId, runId, node, state, detail }: Event,
  mesh: Mesh,
): string | undefined {
  const job = jobId === null ? undefined : mesh.jobs.get(jobId);
  const workflow = job?.workflow ?? mesh.runs.get(runId ?? "")?.workflow ?? "a run";
  const step = job?.step ? `${workflow} · ${job.step}` : `a step of ${workflow}`;
  const note = detail === null ? "" : `: ${detail}`;
  switch (type) {
    case "run.started":
      return `${detail ?? workflow} started`;
    case "run.finished":
      return `${workflow} ${state}`;
    case "job.waiting":
      return `${step} waits: ${sayReason(detail ?? "")}`;
    case "job.offered":
      return `${step} sent to ${node}`;
    case "job.claimed":
      return `${step} runs on ${node}`;
    case "job.settled":
      return state === "waiting" || state === "pending"
        ? `${step} will be tried again`
        : `${step} ${state} on ${node}`;
    case "job.requeued":
      return `${step} lost on ${node}: ${detail}`;
    case "job.declined":
      return `${node} declined ${step}: ${detail}`;
    case "job.offer_expired":
      return `${node} did not take ${step} in time`;
    case "job.expired":
      return `${step} was not started in time`;
    case "job.cancel_requested":
      return `${step} is asked to stop`;
    case "job.cancelled":
      return `${step} cancelled`;
    case "node.hello":
      return `${node} joined`;
    case "node.dead":
      return `${node} is lost`;
    case "node.paused":
      return `${node} is paused${note}`;
    case "node.draining":
      return `${node} drains${note}`;
    case "node.resumed":
      return `${node} takes work again`;
    case "schedule.paused":
      return `schedule ${detail} paused`;
    case "schedule.resumed":
      return `schedule ${detail} goes on`;
    case "workflow.paused":
      return `${detail} paused`;
    case "workflow.resumed":
      return `${detail} goes on`;
    default:
      return undefined;
  }
}

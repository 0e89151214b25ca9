import type { Event } from "@loom/client";
import type { MapState } from "./map-state.ts";

/** An event that may carry the names of its workflow and step. */
export type NamedEvent = Event & {
  readonly workflow?: string | null;
  readonly step?: string | null;
};

/** An event in words, such as `remote runs on pop-os`; undefined for an event that another one covers. */
export function describeEvent(
  { type, jobId, runId, node, state, detail, ...names }: NamedEvent,
  map: MapState,
): string | undefined {
  const job = jobId === null ? undefined : map.jobs.get(jobId);
  const workflow =
    names.workflow ?? job?.workflow ?? map.runs.get(runId ?? "")?.workflow ?? "a run";
  const stepName = names.step ?? job?.step;
  const step = stepName ? `${workflow} · ${stepName}` : `a step of ${workflow}`;
  const note = detail === null ? "" : `: ${detail}`;
  switch (type) {
    case "run.started":
      return `${detail ?? workflow} started`;
    case "run.finished":
      return `${workflow} ${state}`;
    case "job.waiting":
      return `${step} waits: ${describeReason(detail ?? "")}`;
    case "job.suspended":
      return detail === "asked" ? `${step} asks a person` : undefined;
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
    case "job.mapped":
      return `${step} ${state} with its items${note}`;
    case "job.refused":
      return `${step} cannot start: ${detail}`;
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
    case "node.joined":
      return `${node} got a key`;
    case "node.key_revoked":
      return `a key of ${node} was revoked`;
    case "node.removed":
      return `${node} was removed`;
    case "node.offers_asked":
      return `${node} asks to offer ${detail}`;
    case "node.offers_allowed":
      return `${node} may offer ${detail}`;
    case "node.offers_forbidden":
      return `${node} may no longer offer ${detail}`;
    case "schedule.paused":
      return `schedule ${detail} paused`;
    case "schedule.resumed":
      return `schedule ${detail} resumed`;
    case "schedule.refused":
      return `a schedule cannot be stored: ${detail}`;
    case "schedule.rewound":
      return `schedule ${detail} continues from now: the clock was set back`;
    case "workflow.paused":
      return `${detail} paused`;
    case "workflow.resumed":
      return `${detail} resumed`;
    default:
      return undefined;
  }
}

/** Reasons by their codes in docs/placement.md. */
const REASONS: Readonly<Record<string, string>> = {
  placeable: "a node takes it now",
  no_capable_node_free: "the nodes that could run it are full",
  concurrency_limit: "as many of its kind run as may",
  no_capable_node_active: "the nodes that could run it are paused or draining",
  no_capable_node_online: "the nodes that could run it are offline",
  no_version: "no node has its workflow's code in this version",
  excluded: "every node that could run it gave it back too often",
  no_capable_node: "no known node could ever run it",
  no_nodes: "no node is known",
};

/** Why a step waits, in words; the code itself if a newer hub sends one that is unknown here. */
export const describeReason = (code: string): string => REASONS[code] ?? code;

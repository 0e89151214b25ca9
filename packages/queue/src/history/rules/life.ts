import type { QueueEvent } from "../../event.ts";
import { isFinal } from "../history.ts";
import { atJobEvents, type Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

/** Every event is there once: a reader that pages twice over one would prove too much. */
export const readOnce: Rule = function* ({ moments }) {
  for (const [index, { event }] of moments.entries()) {
    if (index > 0 && moments[index - 1]?.event.seq === event.seq) {
      yield findingAt(event, "it was read twice");
    }
  }
};

/** A job's first event creates it, and no other does. */
export const createdOnce: Rule = atJobEvents([], ({ state }, { type }) => {
  if (type === "job.created") return state === null ? undefined : "the job was there already";
  return state === null ? "the job was never created" : undefined;
});

/** Nothing happens to a job that is in a final state. */
export const finalIsFinal: Rule = atJobEvents([], ({ state }) =>
  isFinal(state) ? `the job had ended as ${state}` : undefined,
);

const OPEN = ["blocked", "waiting", "pending"];
const BACK = ["waiting", "pending"];

// docs/job-lifecycle.md, as a table: from which states an event may come, and to which it leads.
// A settle that is accepted and one that is salvaged are two transitions.
const TRANSITIONS: Readonly<Record<string, { from: string[]; to: string[] }>> = {
  "job.ready": { from: ["blocked"], to: BACK },
  "job.waiting": { from: ["waiting"], to: ["waiting"] },
  "job.offered": { from: ["waiting"], to: ["pending"] },
  "job.offer_expired": { from: ["pending"], to: ["waiting"] },
  "job.declined": { from: ["pending"], to: ["waiting"] },
  "job.claimed": { from: ["pending"], to: ["running"] },
  "job.settled accepted": { from: ["running"], to: ["succeeded", "failed", "cancelled", ...BACK] },
  "job.settled salvaged": { from: BACK, to: ["succeeded"] },
  "job.requeued": { from: ["running"], to: ["failed", "cancelled", ...BACK] },
  "job.cancel_requested": { from: ["running"], to: ["running"] },
  "job.cancelled": { from: OPEN, to: ["cancelled"] },
  "job.expired": { from: BACK, to: ["failed"] },
  "job.skipped": { from: ["blocked"], to: ["skipped"] },
};

const nameOf = ({ type, detail }: QueueEvent) =>
  type === "job.settled" ? `${type} ${detail}` : type;

/** Each event leads from a state where it may happen to one that it may lead to. */
export const legalTransition: Rule = atJobEvents([], ({ state: from, pinnedTo }, event) => {
  const { state: to, type, node } = event;
  const isPinned = type === "job.created" ? node !== null : pinnedTo !== null;
  // A pinned job has one place to wait, its node; another one is pending only as an offer.
  if (isPinned ? to === "waiting" : to === "pending" && type !== "job.offered") {
    return `a job that is ${isPinned ? "" : "not "}pinned became ${to}`;
  }
  if (type === "job.created") {
    // A repeated run takes results of the old one over: those steps are created as succeeded.
    return [...OPEN, "succeeded"].includes(to ?? "") ? undefined : `a new job is ${to}`;
  }
  const legal = TRANSITIONS[nameOf(event)];
  if (!legal) return `${event.detail} is no such event`;
  // What was never created, or had ended, is another rule's finding.
  const isFromLegal = from === null || isFinal(from) || legal.from.includes(from);
  return isFromLegal && legal.to.includes(to ?? "") ? undefined : `${from} → ${to}`;
});

import type { QueueEvent } from "../../history/events.ts";
import { atJobEvents, breachAt, isFinal, type Rule } from "./history.ts";

/** Every event occurs once. A reader that reads an event twice would prove too much. */
export const readOnce: Rule = function* ({ moments }) {
  for (const [index, { event }] of moments.entries()) {
    if (index > 0 && moments[index - 1]?.event.seq === event.seq) {
      yield breachAt(event, "it was read twice");
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

const OPEN = ["blocked", "suspended", "mapping", "waiting", "pending"];
const BACK = ["waiting", "pending"];

// docs/job-lifecycle.md, as a table: from which states an event may come, and to which it leads.
// A settle that is accepted and one that is salvaged are two transitions.
const TRANSITIONS: Readonly<Record<string, { from: string[]; to: string[] }>> = {
  "job.ready": { from: ["blocked"], to: ["mapping", ...BACK] },
  "job.mapped": { from: ["mapping"], to: ["succeeded", "failed", "cancelled"] },
  "job.suspended": { from: ["blocked", "suspended"], to: ["suspended"] },
  "job.resumed": { from: ["suspended"], to: BACK },
  "job.woken": { from: ["suspended"], to: ["succeeded", "failed"] },
  "job.waiting": { from: ["waiting"], to: ["waiting"] },
  "job.offered": { from: ["waiting"], to: ["pending"] },
  "job.offer_expired": { from: ["pending"], to: ["waiting"] },
  "job.declined": { from: ["pending"], to: ["waiting"] },
  "job.claimed": { from: ["pending"], to: ["running"] },
  "job.settled accepted": { from: ["running"], to: ["succeeded", "failed", "cancelled", ...BACK] },
  "job.settled salvaged": { from: BACK, to: ["succeeded"] },
  "job.requeued": { from: ["running"], to: ["failed", "cancelled", ...BACK] },
  "job.cancel_requested": { from: ["running", "mapping"], to: ["running", "mapping"] },
  "job.cancelled": { from: ["blocked", "suspended", ...BACK], to: ["cancelled"] },
  "job.expired": { from: BACK, to: ["failed"] },
  "job.refused": { from: [...BACK, "suspended", "mapping"], to: ["failed"] },
  "job.skipped": { from: ["blocked", "suspended"], to: ["skipped"] },
};

const transitionOf = ({ type, detail }: QueueEvent) =>
  type === "job.settled" ? `${type} ${detail}` : type;

/** Each event leads from a state where it may happen to one that it may lead to. */
export const legalTransition: Rule = atJobEvents(
  [],
  ({ state: from, pinnedTo }, event, _, known) => {
    const { state: to, type, node } = event;
    const isPinned = type === "job.created" ? node !== null : pinnedTo !== null;
    // A pinned job has one place to wait, its node; another one is pending only as an offer.
    if (isPinned ? to === "waiting" : to === "pending" && type !== "job.offered") {
      return `a job that is ${isPinned ? "" : "not "}pinned became ${to}`;
    }
    if (type === "job.created") {
      // A repeated run takes over steps of the old one as they ended. A failed one is optional.
      return [...OPEN, "succeeded", "skipped"].includes(to ?? "") ||
        (to === "failed" && known?.isOptional)
        ? undefined
        : `a new job is ${to}`;
    }
    const legal = TRANSITIONS[transitionOf(event)];
    if (!legal) return `${event.detail} is no such event`;
    // Another rule reports a job that was never created or had ended.
    const isFromLegal = from === null || isFinal(from) || legal.from.includes(from);
    return isFromLegal && legal.to.includes(to ?? "") ? undefined : `${from} → ${to}`;
  },
);

/** A step with a condition becomes ready only when that has decided. */
export const conditionDecides: Rule = atJobEvents(
  ["job.created", "job.ready"],
  (_, { state }, __, known) =>
    known?.hasCondition && BACK.includes(state ?? "")
      ? "before its condition has decided"
      : undefined,
);

/** A step that waits is never there for a node. */
export const waitsWithoutNode: Rule = atJobEvents([], (_, { state }, __, known) =>
  known?.waitsFor && [...BACK, "running"].includes(state ?? "")
    ? `a step that waits for a ${known.waitsFor} became ${state}`
    : undefined,
);

/** A step that sleeps goes on when its time has come, and not before. */
export const sleepsLongEnough: Rule = atJobEvents(
  ["job.woken"],
  ({ suspendedAt }, event, _, known) => {
    if (known?.waitsFor !== "sleep" || !known.sleepMs || suspendedAt === null) return undefined;
    const sleptMs = event.at.getTime() - suspendedAt.getTime();
    // Events have the time of the statement that wrote them, some milliseconds after the wait began.
    return sleptMs < known.sleepMs - 1_000
      ? `it slept ${sleptMs} ms of ${known.sleepMs}`
      : undefined;
  },
);

/** Each claim raises the job's fence by one; nothing else does. */
export const fenceGrows: Rule = atJobEvents(["job.claimed"], ({ claim }, { fence }) => {
  const newest = claim?.fence ?? 0;
  return fence === newest + 1 ? undefined : `the fence went from ${newest} to ${fence}`;
});

/** Only the node that a job is pinned or offered to claims it. */
export const claimedByTarget: Rule = atJobEvents(["job.claimed"], (job, { node }) => {
  const target = job.pinnedTo ?? job.offeredTo;
  return node === target ? undefined : `the job was ${target ? `for ${target}` : "for nobody"}`;
});

/** A claim is under the newest epoch of its node. */
export const claimedInEpoch: Rule = atJobEvents(["job.claimed"], (_, { epoch }, { session }) =>
  epoch === session?.epoch
    ? undefined
    : `under epoch ${epoch}, the node's is ${session?.epoch ?? "none"}`,
);

/** A node that was declared dead claims nothing until its next hello. */
export const claimedAlive: Rule = atJobEvents(["job.claimed"], (_, __, { session }) =>
  session?.isDead ? "the node had been declared dead" : undefined,
);

/** Only the node of a job's newest claim settles it, and names that claim's fence. */
export const settledByOwner: Rule = atJobEvents(["job.settled"], ({ claim }, { node, fence }) => {
  if (claim === null) return "nobody had claimed the job";
  return claim.node === node && claim.fence === fence
    ? undefined
    : `by ${node} with fence ${fence}; the newest claim is ${claim.node}'s with ${claim.fence}`;
});

/** A claim is settled at most once. */
export const settledOnce: Rule = atJobEvents(["job.settled"], ({ settledFence }, { fence }) =>
  fence === settledFence ? `fence ${fence} had been settled before` : undefined,
);

/** A job that ran is cancelled only after somebody asked for it. */
export const cancelledOnRequest: Rule = atJobEvents(
  ["job.settled", "job.requeued"],
  ({ isCancelRequested }, { state }) =>
    state === "cancelled" && !isCancelRequested ? "nobody had asked to cancel the job" : undefined,
);

// sql/exchange.sql: a deadline is the timeout and 60 s from when the claim began, and a claim
// may then wait for a lock for up to 5 s.
const GRACE_MS = 55_000;

/** A job is given back only from its newest claim, when its node is lost or its deadline has passed. */
export const requeuedWhenLost: Rule = atJobEvents(
  ["job.requeued"],
  ({ claim }, { node, fence, at }, { session }) => {
    if (claim === null || claim.node !== node || claim.fence !== fence) {
      return `${node} does not hold the job with fence ${fence}`;
    }
    const isLost = session === null || session.isDead || session.epoch !== claim.epoch;
    const isLate = at.getTime() - claim.at.getTime() > GRACE_MS;
    return isLost || isLate ? undefined : `${node} was alive, and the job not late`;
  },
);

/** A job fails when it was lost with its node as often as it may be. */
export const lossesBounded: Rule = function* ({ jobs }) {
  for (const { moments, known } of jobs.values()) {
    const allowed = known?.maxCrashRestarts;
    if (allowed === undefined) continue;
    for (const { event, job } of moments) {
      if (event.type !== "job.requeued" || job === null || event.state === "cancelled") continue;
      const isOver = job.losses >= allowed;
      if (isOver !== (event.state === "failed")) {
        yield breachAt(
          event,
          `became ${event.state} at loss ${job.losses + 1}; ${allowed} are allowed`,
        );
      }
    }
  }
};

/**
 * A concurrency key never has more running jobs than its limit. If its jobs have different limits, the limit of the
 * newest unfinished job counts. Another transaction may just have made or ended that job, so this rule uses the
 * largest limit that the key has had.
 */
export const limitKept: Rule = function* ({ moments, jobs }) {
  const running = new Map<string, Set<number>>();
  const limits = new Map<string, number>();
  for (const { event } of moments) {
    const known = event.jobId === null ? undefined : jobs.get(event.jobId)?.known;
    if (!known?.concurrencyKey || !known.concurrencyLimit) continue;

    const holders = running.get(known.concurrencyKey) ?? new Set<number>();
    running.set(known.concurrencyKey, holders);
    const limit = Math.max(limits.get(known.concurrencyKey) ?? 0, known.concurrencyLimit);
    limits.set(known.concurrencyKey, limit);
    if (event.state === "running") holders.add(known.id);
    else holders.delete(known.id);

    if (event.type === "job.claimed" && holders.size > limit) {
      yield breachAt(event, `${holders.size} jobs of key ${known.concurrencyKey} run`);
    }
  }
};

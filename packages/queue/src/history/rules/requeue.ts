import { atJobEvents, type Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

// sql/claim_jobs.sql: a deadline is the timeout and 60 s from when the claim began, and a claim
// may then wait for a lock for up to 5 s.
const GRACE_MS = 55_000;

/** What is given back is the newest claim, and its node is lost or its deadline has passed. */
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

/** A job is lost with its node as often as it may be, and then fails. */
export const lossesBounded: Rule = function* ({ jobs }) {
  for (const { moments, known } of jobs.values()) {
    const allowed = known?.maxCrashRestarts;
    if (allowed === undefined) continue;
    for (const { event, job } of moments) {
      if (event.type !== "job.requeued" || job === null || event.state === "cancelled") continue;
      const isOver = job.losses >= allowed;
      if (isOver !== (event.state === "failed")) {
        yield findingAt(
          event,
          `became ${event.state} at loss ${job.losses + 1}; ${allowed} are allowed`,
        );
      }
    }
  }
};

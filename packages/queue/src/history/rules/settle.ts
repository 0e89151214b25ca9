import { atJobEvents, type Rule } from "../rule.ts";

/** Who settles a job is the node of its newest claim, and names the fence of that. */
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

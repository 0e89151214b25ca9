import { atJobEvents, type Rule } from "../rule.ts";

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

import { anyJob, type Scorer } from "../rule.ts";

/** Scores the share of a node's slots that is free: work spreads. */
export const leastBusy: Scorer = {
  name: "least-busy",
  about: "availability",
  weight: 1,
  key: anyJob,
  score: (_job, { slots, busy }) => (busy < slots ? (slots - busy) / slots : 0),
};

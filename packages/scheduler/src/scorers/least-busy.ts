import type { Scorer } from "../scorer.ts";

/** Scores the share of a node's slots that is free. */
export const leastBusy: Scorer = {
  name: "least-busy",
  weight: 1,
  score: (_step, { slots, busy }) => (busy < slots ? (slots - busy) / slots : 0),
};

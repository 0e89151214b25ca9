import type { Scorer } from "../rule.ts";

const NOBODY: readonly string[] = [];

/** Scores nodes that have not given the job back: it is offered elsewhere first. */
export const notDeclined: Scorer = {
  name: "not-declined",
  about: "ability",
  weight: 1,
  named: ({ declinedBy = NOBODY }) => declinedBy,
  score: ({ declinedBy = NOBODY }, { name }) => (declinedBy.includes(name) ? 0 : 1),
};

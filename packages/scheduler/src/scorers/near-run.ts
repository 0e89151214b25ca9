import type { Scorer } from "../rule.ts";

const NOWHERE: readonly string[] = [];

/** Scores nodes where earlier steps of the run ran: what they left behind is at hand. */
export const nearRun: Scorer = {
  name: "near-run",
  about: "ability",
  weight: 0.5,
  named: ({ ranOn = NOWHERE }) => ranOn,
  score: ({ ranOn = NOWHERE }, { name }) => (ranOn.includes(name) ? 1 : 0),
};

import { anyJob, type Scorer } from "../rule.ts";

/** Scores nodes that are reached directly before those reached through a relay. */
export const directPath: Scorer = {
  name: "direct-path",
  about: "ability",
  weight: 0.5,
  key: anyJob,
  score: (_job, { path }) => (path === "direct" ? 1 : path === "relayed" ? 0 : 0.5),
};

import { unmetClauses } from "../requirement/evaluate.ts";
import type { Scorer } from "../rule.ts";

/**
 * Scores the share of the job's preferences, by weight, that a node meets; 1 without preferences.
 *
 * Its weight is above that of the other scorers together: a single preference, which a node meets or not,
 * decides even against an idle node.
 */
export const prefers: Scorer = {
  name: "prefers",
  about: "ability",
  weight: 5,
  key: ({ prefers: preferences = [] }) =>
    preferences.length === 0
      ? ""
      : preferences.map(({ clause, weight }) => `${weight} ${clause}`).join("\n"),
  score({ prefers: preferences = [] }, node) {
    let met = 0;
    let all = 0;
    for (const { clause, weight } of preferences) {
      all += weight;
      if (unmetClauses([clause], node).length === 0) met += weight;
    }
    return all === 0 ? 1 : met / all;
  },
};

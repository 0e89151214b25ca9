import { capabilitiesOf } from "../node-view.ts";
import { unmetClauses } from "../requirement/evaluate.ts";
import type { Scorer } from "../scorer.ts";

/**
 * Scores the share of the step's preferences, by weight, that a node meets; 1 without preferences.
 *
 * Its weight is above that of `leastBusy`: a single preference, which a node meets or not, decides
 * even against an idle node.
 */
export const prefers: Scorer = {
  name: "prefers",
  weight: 2,
  score({ prefers: preferences = [] }, node) {
    const capabilities = capabilitiesOf(node);
    let met = 0;
    let all = 0;
    for (const { clause, weight } of preferences) {
      all += weight;
      if (unmetClauses([clause], capabilities).length === 0) met += weight;
    }
    return all === 0 ? 1 : met / all;
  },
};

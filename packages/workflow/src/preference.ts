import { limits } from "./limits.ts";
import { parseClause } from "./requirement/parse-clause.ts";

/** A clause that a node should meet if there is a choice, and how much it counts. */
export interface Preference {
  readonly clause: string;
  /** Above 0. Only the ratio between the weights of one step matters. */
  readonly weight: number;
}

/**
 * Checks preferences of a definition, or those that a `prefers` function returned.
 *
 * @throws InvalidClauseError for a clause that cannot be read.
 * @throws RangeError for a weight that is not above 0.
 */
export function checkPreferences(preferences: readonly Preference[]): void {
  if (preferences.length > limits.preferences) {
    throw new RangeError(`a step has at most ${limits.preferences} preferences`);
  }
  for (const { clause, weight } of preferences) {
    parseClause(clause);
    if (!(weight > 0 && Number.isFinite(weight))) {
      throw new RangeError(
        `the weight of ${JSON.stringify(clause)} must be above 0, not ${weight}`,
      );
    }
  }
}

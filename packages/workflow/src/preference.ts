import { parseClause } from "./requirement/parse-clause.ts";

/** What a step would rather have: a clause like those of `requires`, and how much it counts. */
export interface Preference {
  readonly clause: string;
  /** Above 0. Only the ratio between the weights of one step matters. */
  readonly weight: number;
}

/**
 * Checks preferences; asked of those in a definition, and of what a `prefers` function returned.
 *
 * @throws InvalidClauseError for a clause that cannot be read.
 * @throws RangeError for a weight that is not above 0.
 */
export function checkPreferences(preferences: readonly Preference[]): void {
  for (const { clause, weight } of preferences) {
    parseClause(clause);
    if (!(weight > 0 && Number.isFinite(weight))) {
      throw new RangeError(
        `the weight of ${JSON.stringify(clause)} must be above 0, not ${weight}`,
      );
    }
  }
}

/** What a step would rather have: a clause like those of `requires`, and how much it counts. */
export interface Preference {
  readonly clause: string;
  /** Above 0. Only the ratio between the weights of one step matters. */
  readonly weight: number;
}

/** Whether a value is a clause as far as that can be seen here: its grammar is the scheduler's. */
export const isClause = (value: unknown): value is string =>
  typeof value === "string" && value.trim() !== "";

/** Whether a value is a preference; asked of what a `prefers` function returned. */
export function isPreference(value: unknown): value is Preference {
  const { clause, weight } = (value ?? {}) as Partial<Record<keyof Preference, unknown>>;
  return isClause(clause) && typeof weight === "number" && weight > 0 && Number.isFinite(weight);
}

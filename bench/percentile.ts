/** The value below which so many of them lie, with one digit. */
export function percentile(values: readonly number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1);
  return (sorted[at] ?? Number.NaN).toFixed(1);
}

import type { Test } from "./clause.ts";

// At most 15 digits, because a double holds them exactly.
const NUMBER = /^-?\d{1,15}(?:\.\d{1,15})?$/;
const VERSION = /^v?(\d{1,15}(?:\.\d{1,15})*)([-~][0-9A-Za-z._~-]+)?(?:\+[0-9A-Za-z.+_~-]*)?$/;

/** Whether a value has an order with others: it is a number or a version. */
export const isOrdered = (value: string): boolean => NUMBER.test(value) || VERSION.test(value);

/** Whether one value of its key passes a test. */
export function isMetBy(test: Test, value: string): boolean {
  switch (test.kind) {
    case "has":
      return true;
    case "in":
      return test.values.some((wanted) => isEqual(test.key, value, wanted));
    case "compare": {
      if (test.operator === "=") return isEqual(test.key, value, test.value);
      const order = compareValues(test.key, value, test.value);
      if (order === undefined) return false;
      if (order === 0) return test.operator === "<=" || test.operator === ">=";
      return order < 0 ? test.operator.startsWith("<") : test.operator.startsWith(">");
    }
  }
}

const isEqual = (key: string, a: string, b: string): boolean =>
  a === b || compareValues(key, a, b) === 0;

/**
 * Compares two values of a key: below 0, 0 or above 0; `undefined` if they have no order.
 *
 * They are versions if {@link areVersions} says so. Otherwise they are numbers, and 24.10 is below
 * 24.9: only the key distinguishes the two.
 */
export function compareValues(key: string, a: string, b: string): number | undefined {
  if (areVersions(key, a, b)) return compareVersions(a, b);
  return NUMBER.test(a) && NUMBER.test(b) ? Number(a) - Number(b) : undefined;
}

/**
 * Whether values of a key are compared as versions. They are if the key ends in `version`, or if
 * one value can only be a version: it starts with `v`, has a second dot, or has a suffix
 * (`24.1-rc.1`).
 */
export const areVersions = (key: string, ...values: readonly string[]): boolean =>
  key.endsWith("version") || values.some((value) => VERSION.test(value) && !NUMBER.test(value));

/**
 * Orders versions by their numbers, part by part (missing ones are 0), then by what follows:
 *
 * ```text
 * 5.15-rc.1  <  5.15  <  5.15-91-generic  <  5.15-101-generic  <  5.15.1
 * ```
 *
 * - A suffix that begins with a word for "not yet" ({@link EARLY}) or with `~`, as Debian writes it,
 *   comes before the release. So do semver's prereleases that use such a word.
 * - Any other suffix is a revision, and comes after it: a distribution's packages and kernels, and also
 *   `1.0-1`, which semver would call a prerelease.
 * - Suffixes compare as runs of digits and runs of letters; digits are numbers and come before
 *   letters, the case of letters does not count, nor do the signs between. What is the beginning of another comes first.
 * - Behind `+` is build metadata, which does not count.
 *
 * Both steps compare lists symbol by symbol, so the order is total and transitive.
 */
function compareVersions(a: string, b: string): number | undefined {
  const [, release1, suffix1] = VERSION.exec(a) ?? [];
  const [, release2, suffix2] = VERSION.exec(b) ?? [];
  if (release1 === undefined || release2 === undefined) return undefined;
  const parts1 = release1.split(".");
  const parts2 = release2.split(".");
  for (let index = 0; index < Math.max(parts1.length, parts2.length); index++) {
    const difference = Number(parts1[index] ?? 0) - Number(parts2[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return compareSymbols(readSuffix(suffix1), readSuffix(suffix2));
}

/** Words for a state before the release. */
const EARLY = new Set([
  ...["a", "alpha", "b", "beta", "rc", "pre", "preview", "dev", "ea"],
  ...["snapshot", "nightly", "canary", "next"],
]);

/** Splits a suffix into runs of digits, runs of letters, and `~`. */
function readSuffix(suffix = ""): readonly string[] {
  const symbols = suffix.toLowerCase().match(/\d+|[a-z]+|~/g) ?? [];
  return EARLY.has(symbols[0] ?? "") ? ["~", ...symbols] : symbols;
}

function compareSymbols(a: readonly string[], b: readonly string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [one, other] = [a[index], b[index]];
    const difference = rankOf(one) - rankOf(other) || compareRuns(one ?? "", other ?? "");
    if (difference !== 0) return difference;
  }
  return 0;
}

/** `~` comes before the end, the end before a number, and a number before letters. */
function rankOf(symbol: string | undefined): number {
  if (symbol === undefined) return 1;
  if (symbol === "~") return 0;
  return /^\d/.test(symbol) ? 2 : 3;
}

/** Compares two runs of one kind. A run may have more digits than a double holds. */
function compareRuns(a: string, b: string): number {
  const [one, other] = [a, b].map((run) =>
    /^\d/.test(run) ? run.replace(/^0+(?=\d)/, "") : run,
  ) as [string, string];
  if (/^\d/.test(one) && one.length !== other.length) return one.length - other.length;
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

import { areVersions, compareValues, isOrdered } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const number = fc.constantFrom("0", "1", "2", "9", "10", "24", "007", "20260101000000000000");
const word = fc.constantFrom("a", "rc", "RC", "beta", "generic", "el", "x86", "v", "next");
const sign = fc.constantFrom("-", ".", "~", "_", "");
const suffix = fc
  .array(fc.tuple(sign, fc.oneof(number, word)), { minLength: 1, maxLength: 4 })
  .chain((parts) =>
    fc.constantFrom("-", "~").map((first) => first + parts.map((part) => part.join("")).join("")),
  );
const release = fc
  .array(fc.constantFrom("0", "1", "2", "9", "10", "24", "5"), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join("."));
/** Versions that are similar, so that all steps of the order are tested. */
const version = fc
  .tuple(
    fc.constantFrom("", "", "v"),
    release,
    fc.option(suffix, { nil: "" }),
    fc.constantFrom("", "", "", "+build.1", "+"),
  )
  .map((parts) => parts.join(""));

const compare = (a: string, b: string): number => {
  const order = compareValues("app-version", a, b);
  if (order === undefined) throw new Error(`${a} and ${b} have no order`);
  return Math.sign(order);
};

describe("versions", () => {
  test("are all ordered, one way", () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(isOrdered(a)).toBe(true);
        expect(compare(a, a)).toBe(0);
        expect(compare(a, b) + compare(b, a)).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  test("are ordered alike whichever is compared first", () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        const [low, middle, high] = [a, b, c].sort(compare) as [string, string, string];
        expect(compare(low, middle)).toBeLessThanOrEqual(0);
        expect(compare(middle, high)).toBeLessThanOrEqual(0);
        expect(compare(low, high)).toBeLessThanOrEqual(0);
        // Equal versions compare equally with every other version.
        if (compare(a, b) === 0) expect(compare(a, c)).toBe(compare(b, c));
      }),
      { numRuns: 3_000 },
    );
  });

  test("have their early releases below and their revisions above", () => {
    const early = fc.constantFrom("-rc", "-beta.2", "-alpha1", "~x", "-DEV", "-nightly20260101");
    const revision = fc.constantFrom("-1", "-91-generic", "-el9", "-0", "-microsoft-standard");
    fc.assert(
      fc.property(release, early, revision, (base, before, after) => {
        expect(compare(base + before, base)).toBe(-1);
        expect(compare(base, base + after)).toBe(-1);
        expect(compare(base + after, `${base}.1`)).toBe(-1);
      }),
    );
  });

  test("and numbers, of any key, have an order that holds both ways", () => {
    const value = fc.oneof(version, fc.double({ noNaN: true }).map(String), fc.string());
    fc.assert(
      fc.property(fc.constantFrom("cuda", "cuda-version"), value, value, (key, a, b) => {
        const order = compareValues(key, a, b);
        const back = compareValues(key, b, a);
        if (order === undefined) return void expect(back).toBe(undefined);
        expect(Math.sign(order) + Math.sign(back as number)).toBe(0);
        expect(isOrdered(a) && isOrdered(b)).toBe(true);
        expect(areVersions(key, a, b)).toBe(areVersions(key, b, a));
      }),
      { numRuns: 1_000 },
    );
  });

  test("are read in a time that grows with their length", () => {
    for (const text of [
      "1.".repeat(100_000),
      `1-${"a1".repeat(100_000)}!`,
      `v${"1".repeat(200_000)}`,
    ]) {
      const begun = performance.now();
      compareValues("app-version", text, "1");
      expect(performance.now() - begun).toBeLessThan(5_000);
    }
  });
});

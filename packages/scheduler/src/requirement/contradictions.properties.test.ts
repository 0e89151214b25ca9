import { type Clause, findContradiction, parseClause } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evaluate } from "./evaluate.ts";

describe("findContradiction", () => {
  test.for<[string[], string[]]>([
    [
      ["cpus>=8", "cpus<4"],
      ["cpus>=8", "cpus<4"],
    ],
    [
      ["a", "cpus>8", "b", "cpus<=8", "c"],
      ["cpus>8", "cpus<=8"],
    ],
    [
      ["cpus>=8", "!cpus"],
      ["cpus>=8", "!cpus"],
    ],
    [
      ["cpus>=8", "!cpus>=4"],
      ["cpus>=8", "!cpus>=4"],
    ],
    [
      ["cpus=2", "cpus>=8"],
      ["cpus=2", "cpus>=8"],
    ],
    [
      ["kernel-version>=5.15", "kernel-version<5.4"],
      ["kernel-version>=5.15", "kernel-version<5.4"],
    ],
    [
      ["os=linux", "os=darwin"],
      ["os=linux", "os=darwin"],
    ],
    [
      ["site in (a, b)", "!site=a", "!site=b"],
      ["site in (a, b)", "!site=a", "!site=b"],
    ],
    [
      ["x | y", "!x", "!y", "!z"],
      ["x | y", "!x", "!y"],
    ],
    [
      ["v>4 | v>8", "v<2"],
      ["v>4 | v>8", "v<2"],
    ],
    // What a node with several values of a key can be.
    [["drive=ssd", "drive=hdd"], []],
    [["vram-gb=8", "vram-gb>=24"], []],
    [["cpus>=8", "cpus<=8"], []],
    [["cpus>4", "cpus<5"], []],
    [["!docker", "!docker>4"], []],
    [["cuda>=v12", "cuda<11"], []],
    [["x | y", "!x"], []],
    [[], []],
  ])("finds in %j %j", ([requires, found]) => {
    const clauses = requires.map(parseClause);
    expect(findContradiction(clauses).map((clause) => requires[clauses.indexOf(clause)])).toEqual(
      found,
    );
  });

  test("answers quickly for any number of alternatives", () => {
    const choice = (index: number) =>
      parseClause(Array.from({ length: 20 }, (_, each) => `k${index}=${each}`).join(" | "));
    const clauses = Array.from({ length: 64 }, (_, index) => choice(index));
    const begun = performance.now();
    expect(findContradiction([...clauses, parseClause("a"), parseClause("!a")])).toHaveLength(2);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });

  const value = fc.constantFrom("1", "2", "2.5", "4", "v3", "2-rc", "2-1", "text");
  const ordered = fc.constantFrom("1", "2", "2.5", "4", "v3", "2-rc", "2-1");
  const key = fc.constantFrom("n", "app-version", "cpus");
  const oneTest = fc.oneof(
    fc.record({ kind: fc.constant("has" as const), key }),
    fc.record({
      kind: fc.constant("compare" as const),
      key,
      operator: fc.constant("=" as const),
      value,
    }),
    fc.record({
      kind: fc.constant("compare" as const),
      key,
      operator: fc.constantFrom("<", "<=", ">", ">="),
      value: ordered,
    }),
    fc.record({
      kind: fc.constant("in" as const),
      key,
      values: fc.array(value, { minLength: 1, maxLength: 2 }),
    }),
  );
  const term = fc.oneof(oneTest, fc.record({ kind: fc.constant("not" as const), test: oneTest }));
  const clause: fc.Arbitrary<Clause> = fc.oneof(
    { weight: 3, arbitrary: term },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("any" as const),
        terms: fc.array(term, { minLength: 2, maxLength: 3 }),
      }),
    },
  );

  test("calls nothing a contradiction that a node with one value a key meets, and names no more than it takes", () => {
    const offered = fc.constantFrom(
      "0",
      "1",
      "2",
      "2.2",
      "2.5",
      "3",
      "4",
      "5",
      "v2.7",
      "2-beta",
      "2-1",
      "text",
    );
    const node = fc.record({
      n: fc.option(offered),
      "app-version": fc.option(offered),
      cpus: fc.option(offered),
    });
    fc.assert(
      fc.property(fc.array(clause, { maxLength: 4 }), node, (clauses, values) => {
        const capabilities = Object.entries(values).flatMap(([name, each]) =>
          each === null ? [] : [`${name}=${each}`],
        );
        const found = findContradiction(clauses);
        if (clauses.every((each) => evaluate(each, { name: "x", capabilities }))) {
          expect(found).toEqual([]);
        }
        for (const each of found) {
          expect(findContradiction(found.filter((other) => other !== each))).toEqual([]);
        }
      }),
      { numRuns: 10_000 },
    );
  });
});

import { parseClause, printClause } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evaluate, unmetClauses } from "./evaluate.ts";
import { applyChange, meet } from "./meet.ts";

const tower = {
  name: "tower",
  capabilities: [
    "docker",
    "os=linux",
    "gpu=a",
    "gpu.vram-gb=12",
    "gpu.vram-gb=24",
    "node-version=24.10",
    "gpu.model=RTX 4090",
    "gpu.vram-gb",
    "k=v=w",
  ],
};

describe("evaluate", () => {
  test.for([
    ["docker", true],
    ["Docker", false],
    ["!docker", false],
    ["!on-battery", true],
    // A value offers its key too.
    ["gpu.vram-gb", true],
    ["os", true],
    ["os=linux", true],
    ["os=Linux", false],
    ["k=v=w", true],
    ['gpu.model="RTX 4090"', true],
    // One of several values is enough, and a negation requires that none matches.
    ["gpu.vram-gb=24", true],
    ["gpu.vram-gb=24.0", true],
    ["gpu.vram-gb>=24", true],
    ["gpu.vram-gb>24", false],
    ["gpu.vram-gb<=12", true],
    ["gpu.vram-gb<12", false],
    ["!gpu.vram-gb<=12", false],
    ["arch!=arm64", true],
    ["os!=linux", false],
    ["node-version>=24.9", true],
    ["node-version<24.9", false],
    ["gpu>1", false],
    ["os in (darwin, linux)", true],
    ["os in (darwin)", false],
    ["arch in (x86_64)", false],
    ["!arch in (x86_64)", true],
    ["has-gpu | os=linux", true],
    ["has-gpu | !docker", false],
    ["node=tower", true],
    ["node in (nas, tower)", true],
    ["node=nas", false],
    ["!node=tower", false],
  ] as const)("of %s is %s", ([text, met]) => {
    expect(evaluate(parseClause(text), tower)).toBe(met);
  });
});

describe("unmetClauses", () => {
  test("keeps the order of the requirement", () => {
    expect(unmetClauses(["c", "os=linux", "a"], tower)).toEqual(["c", "a"]);
  });

  test("counts a clause that cannot be read as unmet, even when a node says the same", () => {
    const node = { name: "nas", capabilities: ["has gpu"] };
    expect(unmetClauses(["has gpu"], node)).toEqual(["has gpu"]);
  });
});

describe("meet", () => {
  test.for([
    ["has-gpu", { add: ["has-gpu"], remove: [] }],
    ["cpus>=8", { add: ["cpus=8"], remove: [] }],
    ["cpus>8", { add: ["cpus=9"], remove: [] }],
    ["cpus<8", { add: ["cpus=7"], remove: [] }],
    ["app-version>24.1-rc", { add: ["app-version=24.1-rc.1"], remove: [] }],
    ["app-version<24.1", { add: ["app-version=23.1"], remove: [] }],
    ["kernel<v5.15", { add: ["kernel=v5.15-rc"], remove: [] }],
    ["kernel>v5.15+build", { add: ["kernel=v5.15.1"], remove: [] }],
    ["app-version<0-0", { add: ["app-version=0-0~0"], remove: [] }],
    ["site in (oslo, rome)", { add: ["site=oslo"], remove: [] }],
    ["!docker", { add: [], remove: ["docker"] }],
    ["!gpu.vram-gb>12", { add: [], remove: ["gpu.vram-gb=24"] }],
    ["os=darwin | has-gpu", { add: ["has-gpu"], remove: [] }],
    // A report does not change the properties of a machine.
    ["os=darwin", undefined],
    ["!os=linux", undefined],
    ["node=nas", undefined],
    ["arch=arm64", { add: ["arch=arm64"], remove: [] }],
  ] as const)("changes for %s", ([text, change]) => {
    const clause = parseClause(text);
    expect(meet(clause, tower)).toEqual(change);
    if (change !== undefined) expect(evaluate(clause, applyChange(change, tower))).toBe(true);
  });
});

describe("any clause", () => {
  const word = fc.oneof(
    fc.constantFrom("has-gpu", "24", "24.1", "v1.2-rc.1", "workflow:a@b", "größe", "in"),
    fc.stringMatching(/^[a-z][a-z0-9.:@-]{0,8}$/),
  );
  const value = fc.oneof(
    word,
    fc.string({ maxLength: 8 }),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const ordered = fc.constantFrom("24", "-1.5", "24.1.3", "v2", "1.0-rc.1");
  const oneTest = fc.oneof(
    fc.record({ kind: fc.constant("has" as const), key: word }),
    fc.record({
      kind: fc.constant("compare" as const),
      key: word,
      operator: fc.constant("=" as const),
      value,
    }),
    fc.record({
      kind: fc.constant("compare" as const),
      key: word,
      operator: fc.constantFrom("<", "<=", ">", ">="),
      value: ordered,
    }),
    fc.record({
      kind: fc.constant("in" as const),
      key: word,
      values: fc.array(value, { minLength: 1, maxLength: 3 }),
    }),
  );
  const term = fc.oneof(oneTest, fc.record({ kind: fc.constant("not" as const), test: oneTest }));
  const clause = fc.oneof(
    term,
    fc.record({
      kind: fc.constant("any" as const),
      terms: fc.array(term, { minLength: 2, maxLength: 3 }),
    }),
  );

  test("is parsed back as it was printed, in one form", () => {
    fc.assert(
      fc.property(clause, (wanted) => {
        const text = printClause(wanted);
        fc.pre(text.length <= 200);
        const read = parseClause(text);
        expect(read).toEqual(wanted);
        expect(printClause(read)).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });

  test("may be any text: it is read or refused, with a place inside it and a readable suggestion", () => {
    const noise = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc
        .array(
          fc.constantFrom(
            "a",
            "!",
            "=",
            ">",
            "<",
            "|",
            "(",
            ")",
            ",",
            '"',
            "\\",
            " in (",
            " ",
            "1",
            "or",
          ),
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(noise, (text) => {
        try {
          const read = parseClause(text);
          expect(parseClause(printClause(read))).toEqual(read);
        } catch (error) {
          const { code, position, suggestion } = error as ReturnType<typeof Object>;
          expect(code).toBe("INVALID_CLAUSE");
          expect(position).toBeGreaterThanOrEqual(0);
          expect(position).toBeLessThanOrEqual(text.length);
          if (suggestion !== undefined) parseClause(suggestion);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

import { describe, expect, test } from "vitest";
import { type Clause, InvalidClauseError, printClause } from "./clause.ts";
import { compareValues } from "./compare-values.ts";
import { parseClause } from "./parse-clause.ts";

const has = (key: string) => ({ kind: "has", key }) as const;
const is = (key: string, value: string) =>
  ({ kind: "compare", key, operator: "=", value }) as const;

describe("parseClause", () => {
  test.for<[string, Clause]>([
    ["docker", has("docker")],
    ["workflow:deploy@0f3a", has("workflow:deploy@0f3a")],
    ["größe", has("größe")],
    ["in", has("in")],
    [" docker ", has("docker")],
    ["!on-battery", { kind: "not", test: has("on-battery") }],
    ["arch=x86_64", is("arch", "x86_64")],
    ["token=abc==", is("token", "abc==")],
    ['gpu.model="RTX 4090 (24 GB)"', is("gpu.model", "RTX 4090 (24 GB)")],
    ["arch != arm64", { kind: "not", test: is("arch", "arm64") }],
    ["gpu.vram-gb >= 24", { kind: "compare", key: "gpu.vram-gb", operator: ">=", value: "24" }],
    ["node-version<25", { kind: "compare", key: "node-version", operator: "<", value: "25" }],
    ["os in (linux, darwin)", { kind: "in", key: "os", values: ["linux", "darwin"] }],
    ["!os in(win32)", { kind: "not", test: { kind: "in", key: "os", values: ["win32"] } }],
    [
      "has-gpu|!on-battery | cpus>8",
      {
        kind: "any",
        terms: [
          has("has-gpu"),
          { kind: "not", test: has("on-battery") },
          { kind: "compare", key: "cpus", operator: ">", value: "8" },
        ],
      },
    ],
  ])("reads %s", ([text, clause]) => {
    expect(parseClause(text)).toEqual(clause);
    expect(parseClause(printClause(clause))).toEqual(clause);
  });

  test.for([
    { text: "", position: 0 },
    { text: "  ", position: 2 },
    { text: "x".repeat(201), position: 200 },
    { text: "has gpu", position: 4, suggestion: "has-gpu" },
    { text: "arch==arm64", position: 5, suggestion: "arch=arm64" },
    { text: "arch=", position: 5 },
    { text: "=arm64", position: 0 },
    { text: "cpus=>8", position: 5, suggestion: "cpus>=8" },
    { text: "a || b", position: 3, suggestion: "a | b" },
    { text: "a or b", position: 2, suggestion: "a | b" },
    { text: "a |", position: 3 },
    { text: "not on-battery", position: 4, suggestion: "!on-battery" },
    { text: "!!a", position: 1 },
    { text: "!a!=b", position: 4 },
    { text: "memory-gb>=16GiB", position: 11, suggestion: "memory-gb>=16" },
    { text: "cpus>many", position: 5 },
    { text: "os in (linux", position: 12 },
    { text: "os in ()", position: 7 },
    { text: 'a="b', position: 2 },
    { text: 'a="\\x"', position: 2 },
    { text: "a\u0000b", position: 1 },
    { text: "a\u200bb", position: 1 },
  ])("refuses $text, and says where", ({ text, ...why }) => {
    expect(() => parseClause(text)).toThrow(InvalidClauseError);
    expect(() => parseClause(text)).toThrow(
      expect.objectContaining({ code: "INVALID_CLAUSE", clause: text, ...why }),
    );
  });

  // The printed form, with a space after each comma, is stored and parsed again.
  test("measures a clause in its printed form", () => {
    const text = `os in (${"abc,".repeat(40)}linux)`;
    expect(text).toHaveLength(173);
    expect(() => parseClause(text)).toThrow("it has 213 characters of at most 200");
    const fits = `os in (${"abc,".repeat(37)}linux)`;
    expect(printClause(parseClause(fits)).length).toBeLessThanOrEqual(200);
    expect(parseClause(printClause(parseClause(fits)))).toEqual(parseClause(fits));
  });

  test.for([
    `k=${" ".repeat(1_000_000)}x`,
    `a${" or".repeat(1_000_000)}`,
    `a ${"|".repeat(1_000_000)}`,
    `a="${"\\".repeat(1_000_000)}`,
  ])("refuses every text that is too long, without reading it", (text) => {
    const startedAt = performance.now();
    expect(() => parseClause(text)).toThrow("it is longer than 200 characters at character 201");
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test("reports the problem, its place and a suggestion", () => {
    expect(() => parseClause("has gpu")).toThrow(
      '"has gpu" is not a clause: expected an operator or the end at character 5; did you mean "has-gpu"?',
    );
  });
});

describe("compareValues", () => {
  test.for([
    ["cpus", "8", "16", -1],
    ["cpus", "16", "16.0", 0],
    ["load", "-0.5", "0.25", -1],
    // A number or a version: only the key decides.
    ["memory-gb", "7.25", "7.5", -1],
    ["node-version", "7.25", "7.5", 1],
    ["node-version", "24", "24.0.0", 0],
    ["node-version", "v24.10.0", "24.9", 1],
    ["cuda", "v12.10", "12.4", 1],
    ["cuda", "12.10.1", "12.9", 1],
    ["app-version", "1.0-rc.1", "1.0", -1],
    ["app-version", "1.0-rc.2", "1.0-rc.10", -1],
    ["app-version", "1.0-rc.1", "1.0-rc", 1],
    ["app-version", "1.0-beta", "1.0-rc", -1],
    ["app-version", "1.0-RC2", "1.0-rc10", -1],
    ["app-version", "1.0-alpha.1", "1.0-alpha.beta", -1],
    // A distribution's revision comes after the release, an early release before it.
    ["kernel-version", "5.15.0-91-generic", "5.15", 1],
    ["kernel", "5.15.0-91-generic", "5.15", 1],
    ["kernel", "5.15.0-91-generic", "5.15.0-101-generic", -1],
    ["kernel", "5.15.0-91-generic", "5.15.1", -1],
    ["kernel", "6.8.0-rc3", "6.8", -1],
    ["kernel", "4.14.336-257.562.amzn2.x86_64", "4.14.336", 1],
    ["kernel", "6.1.21-v8+", "6.1.21", 1],
    ["app-version", "1.0-1", "1.0-a", 1],
    ["app-version", "1.0-1", "1.0", 1],
    ["app-version", "1.0~rc1", "1.0", -1],
    ["app-version", "6.5.0-28.29~22.04.1", "6.5.0-28.29", -1],
    ["app-version", "1.0-nightly20260101000000000000", "1.0-nightly20260102000000000000", -1],
    ["app-version", "2026-05-01", "2026-11-03", -1],
    ["app-version", "1.0+build1", "1.0+build2", 0],
    ["os", "linux", "linux", undefined],
    ["cpus", "8", "many", undefined],
    ["node-version", "24", "latest", undefined],
  ] as const)("compares %s=%s with %s", ([key, a, b, order]) => {
    const sign = (value: number | undefined) =>
      value === undefined ? value : Math.sign(value) + 0;
    expect(sign(compareValues(key, a, b))).toBe(order);
    expect(sign(compareValues(key, b, a))).toBe(order && -order);
  });
});

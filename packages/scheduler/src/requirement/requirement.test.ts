import { describe, expect, test } from "vitest";
import { InvalidClauseError, parseClause } from "./clause.ts";
import { evaluate, unmetClauses } from "./evaluate.ts";

describe("parseClause", () => {
  test.for([
    "docker",
    "gpu.vram-gb=24",
    "node=pop-os",
    "workflow:deploy",
    "größe",
    "x".repeat(200),
  ])("reads %s as a tag", (text) => {
    expect(parseClause(text)).toEqual({ kind: "tag", tag: text });
  });

  test.for(["", " ", "has gpu", "gpu ", "a\tb", "a\nb", "a\u0000b", "a\u200bb", "x".repeat(201)])(
    "refuses %j",
    (text) => {
      expect(() => parseClause(text)).toThrow(InvalidClauseError);
      expect(() => parseClause(text)).toThrow(expect.objectContaining({ clause: text }));
    },
  );
});

describe("evaluate", () => {
  test("is met by the same text alone", () => {
    const clause = parseClause("gpu.vram-gb=24");
    expect(evaluate(clause, ["docker", "gpu.vram-gb=24"])).toBe(true);
    expect(evaluate(clause, ["gpu.vram-gb=240", "gpu.vram-gb", "GPU.vram-gb=24"])).toBe(false);
  });
});

describe("unmetClauses", () => {
  test("keeps the order of the requirement", () => {
    expect(unmetClauses(["c", "b", "a"], ["b"])).toEqual(["c", "a"]);
  });

  test("is empty when nothing is required", () => {
    expect(unmetClauses([], [])).toEqual([]);
  });

  test("counts a clause that cannot be read as unmet, even when a node says the same", () => {
    expect(unmetClauses(["has gpu"], ["has gpu"])).toEqual(["has gpu"]);
  });
});

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { lengthOf, limits } from "./limits.ts";

describe("limits", () => {
  test("are those of the page in docs/", () => {
    const page = readFileSync(new URL("../../../docs/limits.md", import.meta.url), "utf8");
    const documented = [...page.matchAll(/^\| `(\w+)` +\| +([\d ]+?) \|/gm)].map(
      ([, name, value]) => [name, Number(value?.replaceAll(" ", ""))],
    );
    expect(Object.fromEntries(documented)).toEqual(limits);
  });

  test("count characters as Postgres and JSON Schema do", () => {
    expect(lengthOf("a😀é")).toBe(3);
  });
});

import { describe, expect, test } from "vitest";
import { exitCodes, exitOf } from "../src/exit-codes.ts";
import { docsTable } from "./fixtures.ts";

describe("exit codes", () => {
  test("are those of the table in docs/cli.md", () => {
    expect(docsTable()).toEqual(exitCodes);
  });

  test("are different numbers, and each error has one", () => {
    const exits = exitCodes.map(({ exit }) => exit);
    expect(new Set(exits).size).toBe(exits.length);
    const errors = exitCodes.flatMap((row) => row.errors);
    expect(new Set(errors).size).toBe(errors.length);
  });

  test.for([
    [401, 4],
    [403, 4],
    [404, 3],
    [409, 5],
    [413, 2],
    [422, 2],
    [429, 8],
    [500, 1],
    [503, 8],
    [undefined, 1],
  ] as const)("follow the HTTP status %s for other codes of a hub: %i", ([status, exit]) => {
    expect(exitOf("SOMETHING_ELSE", status)).toBe(exit);
  });
});

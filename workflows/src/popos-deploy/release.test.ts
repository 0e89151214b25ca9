import { describe, expect, test } from "vitest";
import { commitId, nameRelease, planPruning, toRelease } from "./release.ts";

const release = (second: number) =>
  nameRelease(`2026-11-25T22:00:0${second}.000Z`, commitId.parse("a".repeat(40)));

describe("nameRelease", () => {
  test("tells when and what, and sorts by time", () => {
    expect(release(1)).toBe("20261125T220001000Z-aaaaaaaaaaaa");
    expect([release(2), release(1)].sort()).toEqual([release(1), release(2)]);
  });
});

describe("toRelease", () => {
  test.for([
    ["releases/one\n", "one"],
    ["/srv/popos/releases/one\n", "one"],
    ["releases/-rf\n", null],
    ["releases/one/deeper\n", null],
    ["/etc\n", null],
    ["", null],
  ] as const)("reads %j as %j", ([link, name]) => {
    expect(toRelease(link)).toBe(name);
  });
});

describe("planPruning", () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7].map(release);

  test("keeps the newest five, whatever their order", () => {
    expect(planPruning([...all].reverse(), [])).toEqual([release(0), release(1), release(2)]);
  });

  test("keeps what is in use, and what is not ours", () => {
    const names = [...all, "by-hand", "", ".."];
    expect(planPruning(names, [release(7), release(0)])).toEqual([release(1), release(2)]);
    expect(planPruning(["by-hand"], [null])).toEqual([]);
  });
});

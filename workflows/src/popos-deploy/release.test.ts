import { describe, expect, test } from "vitest";
import { commitId, nameRelease, planPruning, toRelease } from "./release.ts";

const release = (second: number) =>
  nameRelease(`2026-11-25T22:00:0${second}.000Z`, commitId.parse("a".repeat(40)));

describe("nameRelease", () => {
  test("contains the time and the commit, and sorts by time", () => {
    expect(release(1)).toBe("20261125T220001000Z-aaaaaaaaaaaa");
    expect([release(2), release(1)].sort()).toEqual([release(1), release(2)]);
  });
});

describe("toRelease", () => {
  test.for(["releases/one\n", "/srv/popos/releases/one\n", "releases/one"])("reads %j", (link) => {
    expect(toRelease(link, "/srv/popos")).toBe("one");
  });

  test.for([
    "welcome\nreleases/one\n",
    "releases/-rf\n",
    "releases/one/deeper\n",
    "/srv/other/releases/one\n",
    "/etc\n",
    "\n",
    "",
  ])("never takes %j for nothing", (link) => {
    expect(() => toRelease(link, "/srv/popos")).toThrow(
      expect.objectContaining({ code: "NON_RETRYABLE" }),
    );
  });
});

describe("planPruning", () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7].map(release);

  test("keeps the newest five, in any order", () => {
    expect(planPruning([...all].reverse(), [])).toEqual([release(0), release(1), release(2)]);
  });

  test("keeps releases in use and folders of others", () => {
    const names = [...all, "by-hand", "", ".."];
    expect(planPruning(names, [release(7), release(0)])).toEqual([release(1), release(2)]);
    expect(planPruning(["by-hand"], [null])).toEqual([]);
  });
});

import { describe, expect, test } from "vitest";
import { isResolveError, NoIpv4Error, type ResolveError } from "./errors.ts";

describe("isResolveError", () => {
  test("lets a caller branch on the code and read the fields of each error", () => {
    const hint = (error: ResolveError) => {
      switch (error.code) {
        case "NO_IPV4":
          return error.ipv6;
        case "NOT_FOUND":
          return error.suggestions.join();
        default:
          return error.message;
      }
    };
    const caught: unknown = new NoIpv4Error("six.moss-lantern.ts.net", "fd7a:115c:a1e0::1:6");
    expect(isResolveError(caught) && hint(caught)).toBe("fd7a:115c:a1e0::1:6");
  });

  test("is false for errors of other packages", () => {
    expect(isResolveError(Object.assign(new Error("no"), { code: "NO_IPV4" }))).toBe(false);
    expect(isResolveError(undefined)).toBe(false);
  });
});

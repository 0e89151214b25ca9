import { describe, expect, test } from "vitest";
import { isNeighbour } from "./client.ts";

describe("isNeighbour", () => {
  test.for([
    "127.0.0.1",
    "127.255.0.9",
    "::1",
    "::ffff:127.0.0.1",
    "100.64.0.0",
    "100.127.255.255",
    "::ffff:100.101.40.2",
    "fd7a:115c:a1e0::7b01:713",
    "FD7A:115C:A1E0:0:1::1",
  ])("lets %s in", (address) => {
    expect(isNeighbour(address)).toBe(true);
  });

  test.for([
    "100.63.255.255",
    "100.128.0.0",
    "128.0.0.1",
    "192.168.7.10",
    "169.254.169.254",
    "::ffff:192.168.7.10",
    "fd7a:115c:a1e1::1",
    "fe80::1",
    "::",
    "0.0.0.0",
    "localhost",
    "",
  ])("keeps %s out", (address) => {
    expect(isNeighbour(address)).toBe(false);
  });
});

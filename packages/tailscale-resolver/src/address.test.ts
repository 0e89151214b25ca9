import { describe, expect, test } from "vitest";
import { includesAddress, isTailnetAddress, isTailnetIpv4, unmapIpv4 } from "./address.ts";

describe("isTailnetIpv4", () => {
  test.for([
    ["100.64.0.0", true],
    ["100.127.255.255", true],
    ["100.63.255.255", false],
    ["100.128.0.0", false],
    ["100.115.91.255", true],
    ["100.115.92.0", false],
    ["100.115.93.255", false],
    ["100.115.94.0", true],
    ["100.100.100.100", false],
    ["192.168.1.4", false],
    ["fd7a:115c:a1e0::1", false],
    ["pop", false],
  ] as const)("says of %s: %s", ([ip, expected]) => {
    expect(isTailnetIpv4(ip)).toBe(expected);
  });
});

describe("isTailnetAddress", () => {
  test.for([
    ["100.64.0.1", true],
    ["::ffff:100.64.0.1", true],
    ["fd7a:115c:a1e0::1", true],
    ["FD7A:115C:A1E0:AB12::9", true],
    ["fd7a:115c:a1e1::1", false],
    ["fd7a:115c:a1e0::53", false],
    ["::ffff:100.100.100.100", false],
    ["::ffff:192.168.1.4", false],
    ["127.0.0.1", false],
    ["100.64.0.1:80", false],
    ["", false],
  ] as const)("says of %s: %s", ([ip, expected]) => {
    expect(isTailnetAddress(ip)).toBe(expected);
  });
});

describe("unmapIpv4", () => {
  test.for([
    ["::ffff:100.64.0.1", "100.64.0.1"],
    ["::FFFF:100.64.0.1", "100.64.0.1"],
    ["100.64.0.1", "100.64.0.1"],
    ["fd7a::ffff:6440:1", "fd7a::ffff:6440:1"],
    ["fd7a:115c:a1e0::1", "fd7a:115c:a1e0::1"],
  ] as const)("turns %s into %s", ([ip, expected]) => {
    expect(unmapIpv4(ip)).toBe(expected);
  });
});

describe("includesAddress", () => {
  const addresses = ["100.70.0.2", "fd7a:115c:a1e0::1:2"];

  test.for([
    ["100.70.0.2", true],
    ["::ffff:100.70.0.2", true],
    ["FD7A:115C:A1E0:0:0:0:1:2", true],
    ["100.70.0.3", false],
    ["fe80::1%eth0", false],
  ] as const)("compares addresses by value, not by spelling: %s", ([ip, expected]) => {
    expect(includesAddress(addresses, ip)).toBe(expected);
  });
});

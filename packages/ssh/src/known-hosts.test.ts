import { describe, expect, test } from "vitest";
import { namesHost, parseKnownHosts } from "./known-hosts.ts";

const KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const line = (hosts: string) => {
  const [host] = parseKnownHosts(`${hosts} ssh-ed25519 ${KEY} a comment`);
  if (!host) throw new Error("not read");
  return host;
};

describe("parseKnownHosts", () => {
  test("reads what it can, and skips the rest as ssh does", () => {
    const text = [
      "# a comment",
      "",
      `pop-os ssh-ed25519 ${KEY}`,
      `@revoked * ssh-ed25519 ${KEY}`,
      `@cert-authority *.example ssh-ed25519 ${KEY}`,
      "nonsense",
      `  indented\tssh-ed25519\t${KEY} me@here`,
    ].join("\n");
    expect(parseKnownHosts(text).map(({ hosts, marker }) => [hosts, marker])).toEqual([
      ["pop-os", null],
      ["*", "revoked"],
      ["indented", null],
    ]);
  });
});

describe("namesHost", () => {
  test.for([
    ["pop-os", "pop-os", true],
    ["pop-os", "POP-OS", true],
    ["pop-os", "pop-os-1", false],
    ["100.64.0.7,pop-os", "pop-os", true],
    ["pop-*", "pop-os", true],
    ["pop-?s", "pop-os", true],
    ["*", "pop-os", true],
    ["*,!pop-os", "pop-os", false],
    ["pop.os", "popxos", false],
    // ssh-keygen -H of "pop-os", OpenSSH 9.2.
    ["|1|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os", true],
    ["|1|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os-1", false],
    ["|2|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os", false],
  ] as const)("%s is about %s: %s", ([hosts, name, expected]) => {
    expect(namesHost(line(hosts), name)).toBe(expected);
  });
});

import { describe, expect, test } from "vitest";
import { createResolver } from "../resolver.ts";
import { staticSource } from "./static.ts";

describe("staticSource", () => {
  const nodes = { Forge: "192.168.7.1", "anvil.home.lan": "127.0.0.1", six: "fd00::6" };
  const resolver = createResolver({ source: staticSource(nodes, { self: "forge" }) });

  test("accepts any IPv4 address, including loopback and LAN", async () => {
    expect(await resolver.resolve("FORGE")).toMatchObject({ ip: "192.168.7.1", online: true });
    expect(await resolver.resolve("anvil.home.lan")).toMatchObject({ ip: "127.0.0.1" });
    expect(await resolver.resolve("127.0.0.1")).toMatchObject({ name: "anvil.home.lan" });
  });

  test("knows this machine if `self` names it", async () => {
    expect(await resolver.self()).toMatchObject({ name: "forge", self: true });
    expect((await resolver.peers()).map(({ name }) => name)).toEqual(["anvil.home.lan", "six"]);
  });

  test("does not match a part of a name", async () => {
    await expect(resolver.resolve("anvil")).rejects.toMatchObject({
      code: "NOT_FOUND",
      suggestions: ["anvil.home.lan"],
    });
  });

  test("returns no IPv4 address for a node with an IPv6 address", async () => {
    await expect(resolver.resolve("six")).rejects.toMatchObject({
      code: "NO_IPV4",
      ipv6: "fd00::6",
    });
  });

  test.for([
    { title: "a host name for an address", nodes: { forge: "forge.lan" }, self: undefined },
    {
      title: "one name twice",
      nodes: { forge: "10.0.0.1", "FORGE.": "10.0.0.2" },
      self: undefined,
    },
    { title: "a self that is not listed", nodes: { forge: "10.0.0.1" }, self: "anvil" },
  ])("refuses $title when it is created", ({ nodes, self }) => {
    expect(() => staticSource(nodes, { self })).toThrow(TypeError);
  });
});

import { describe, expect, test } from "vitest";
import { createResolver } from "./resolver.ts";
import type { Source } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import { sampleStatus } from "./testing/sample-status.ts";
import { scriptResolver } from "./testing/scripted-resolver.ts";

describe("createResolver", () => {
  test("returns the address and the node's facts", async () => {
    const { resolver } = scriptResolver();
    expect(await resolver.resolve("kiln")).toEqual({
      ip: "100.70.0.4",
      family: 4,
      name: "kiln",
      id: "nKilnCNTRL",
      fqdn: "kiln.moss-lantern.ts.net",
      online: true,
      lastSeen: undefined,
      tags: ["tag:agent"],
      self: false,
      via: "direct",
      localAddress: "100.70.0.1",
      source: "scripted",
      ageMs: 0,
      stale: false,
    });
  });

  test("reports that only a proxy reaches the address", async () => {
    const { resolver, script } = scriptResolver();
    script.answer = sampleStatus({ TUN: false });
    expect(await resolver.resolve("anvil")).toMatchObject({
      via: "proxy",
      localAddress: undefined,
    });
  });

  test("lists peers by names that it resolves", async () => {
    const { resolver } = scriptResolver();
    const peers = await resolver.peers();
    const reachable = peers.filter(({ ip, expired }) => ip !== undefined && !expired);
    expect(reachable.length).toBeGreaterThan(3);
    for (const { name, ip } of reachable) {
      expect(await resolver.resolve(name)).toMatchObject({ name, ip });
    }
  });

  test("keeps its list when a caller changes the returned one", async () => {
    const { resolver } = scriptResolver();
    (await resolver.peers()).length = 0;
    expect(await resolver.peers()).not.toEqual([]);
  });

  test("describes this machine", async () => {
    expect(await scriptResolver().resolver.self()).toMatchObject({ name: "forge", self: true });
  });

  test("reports that the source does not know this machine", async () => {
    const resolver = createResolver({ source: staticSource({ anvil: "127.0.0.1" }) });
    await expect(resolver.self()).rejects.toMatchObject({ code: "NO_SELF" });
  });

  test.for(["peers", "self"] as const)("refuses %s of a stopped daemon", async (method) => {
    const { resolver, script } = scriptResolver();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver[method]()).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("asks once for many callers", async () => {
    const { resolver, script } = scriptResolver({ ttlMs: 0 });
    await Promise.all([resolver.resolve("anvil"), resolver.resolve("kiln"), resolver.peers()]);
    expect(script.reads).toBe(1);
  });

  test("asks again when the status has reached its time to live", async () => {
    const { resolver, script } = scriptResolver({ ttlMs: 3_000 });
    await resolver.resolve("anvil");
    script.clockMs += 2_999;
    expect(await resolver.resolve("anvil")).toMatchObject({ ageMs: 2_999, stale: false });
    expect(script.reads).toBe(1);
    script.clockMs += 1;
    expect(await resolver.resolve("anvil")).toMatchObject({ ageMs: 0 });
    expect(script.reads).toBe(2);
  });

  test("does not ask the source about an invalid name", async () => {
    const { resolver, script } = scriptResolver();
    await expect(resolver.resolve("ada@anvil")).rejects.toMatchObject({ code: "INVALID_NAME" });
    expect(script.reads).toBe(0);
  });

  test("ends a caller's wait with the signal's reason", async () => {
    const source: Source = { name: "hung", read: () => new Promise(() => {}) };
    const giveUp = new AbortController();
    const answer = createResolver({ source }).resolve("anvil", { signal: giveUp.signal });
    giveUp.abort(new Error("no time"));
    await expect(answer).rejects.toThrow("no time");
  });

  test.for([
    { ttlMs: -1 },
    { ttlMs: Number.NaN },
    { maxStaleMs: Number.POSITIVE_INFINITY },
    { patienceMs: -1 },
  ])("refuses %j when it is created", (options) => {
    expect(() => scriptResolver(options)).toThrow(RangeError);
  });
});

import { describe, expect, onTestFinished, test } from "vitest";
import { SourceError } from "./errors.ts";
import { magicDns, type NameServer } from "./magic-dns.ts";
import { type NameAnswer, startFakeNameServer } from "./testing/fake-name-server.ts";
import { sampleStatus } from "./testing/sample-status.ts";
import { away, scriptResolver } from "./testing/scripted-resolver.ts";

describe("with a name server", () => {
  const names: Record<string, NameAnswer> = {
    "anvil.moss-lantern.ts.net": "100.70.0.2",
    "kiln.quiet-harbor.ts.net": "100.99.0.1",
    "newcomer.moss-lantern.ts.net": "100.70.0.77",
    "gone.moss-lantern.ts.net": "NXDOMAIN",
  };

  /** A source that is away, and a name server that has the nodes. */
  async function setUpWith({ suffix }: { suffix?: string } = {}) {
    const dns = await startFakeNameServer(names);
    onTestFinished(() => dns[Symbol.asyncDispose]());
    const nameServer = magicDns({ server: dns.server, timeoutMs: 5_000, suffix });
    return { dns, ...scriptResolver({ nameServer, maxStaleMs: 60_000 }) };
  }

  test("it is not asked while the source answers, not even for an unknown name", async () => {
    const { resolver, dns } = await setUpWith();
    expect(await resolver.resolve("anvil")).toMatchObject({ source: "scripted" });
    await expect(resolver.resolve("newcomer")).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(dns.asked).toEqual([]);
  });

  test("it is not asked when the daemon says that it is stopped", async () => {
    const { resolver, script, dns } = await setUpWith();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver.resolve("anvil")).rejects.toMatchObject({ code: "NOT_RUNNING" });
    expect(dns.asked).toEqual([]);
  });

  test("it gives the address when the source fails, and tells nothing else", async () => {
    const { resolver, script } = await setUpWith({ suffix: "Moss-Lantern.ts.net." });
    script.answer = away;
    expect(await resolver.resolve("Anvil")).toEqual({
      ip: "100.70.0.2",
      family: 4,
      name: "anvil",
      id: undefined,
      fqdn: "anvil.moss-lantern.ts.net",
      online: undefined,
      lastSeen: undefined,
      tags: [],
      self: undefined,
      via: "direct",
      localAddress: undefined,
      source: "magic-dns",
      ageMs: 0,
      stale: false,
    });
  });

  test("it comes before the last good status, and completes labels with what that told", async () => {
    const { resolver, script, dns } = await setUpWith();
    await resolver.resolve("anvil");
    script.answer = away;
    script.clockMs += 600_000; // also when that is too old to serve
    expect(await resolver.resolve("newcomer")).toMatchObject({ ip: "100.70.0.77", stale: false });
    expect(dns.asked).toEqual(["newcomer.moss-lantern.ts.net"]);
  });

  test("it is asked for the full name of a node that is shared in", async () => {
    const { resolver, script } = await setUpWith();
    script.answer = away;
    expect(await resolver.resolve("kiln.quiet-harbor.ts.net")).toMatchObject({ ip: "100.99.0.1" });
  });

  test("the last good status serves when it has no answer either", async () => {
    const { resolver, script } = await setUpWith();
    await resolver.resolve("anvil");
    script.answer = away;
    script.clockMs += 5_000;
    expect(await resolver.resolve("kiln")).toMatchObject({ ip: "100.70.0.4", stale: true });
  });

  test.for(["anvil", "100.70.0.2"])(
    "it is not asked for %s before the suffix is known",
    async (name) => {
      const { resolver, script, dns } = await setUpWith();
      script.answer = away;
      await expect(resolver.resolve(name)).rejects.toBe(away);
      expect(dns.asked).toEqual([]);
    },
  );

  test("both failures are told when nothing is left", async () => {
    const { resolver, script } = await setUpWith({ suffix: "moss-lantern.ts.net" });
    script.answer = away;
    await expect(resolver.resolve("gone")).rejects.toMatchObject({
      code: "ALL_SOURCES_FAILED",
      failures: [{ source: "scripted" }, { source: "magic-dns" }],
      message: expect.stringMatching(/\n- scripted: the daemon is away\n- magic-dns: .*ENOTFOUND/),
    });
  });

  test("one that is silent is asked once per time to live", async () => {
    const asked: string[] = [];
    const nameServer: NameServer = {
      name: "mute",
      suffix: "moss-lantern.ts.net",
      async lookup(fqdn) {
        asked.push(fqdn);
        if (asked.length > 1) return "100.70.0.2";
        throw new SourceError("no answer", { code: "DAEMON_HUNG", source: "mute" });
      },
    };
    const { resolver, script } = scriptResolver({ nameServer, ttlMs: 3_000 });
    script.answer = away;
    const failure = { code: "ALL_SOURCES_FAILED" };
    await expect(resolver.resolve("kiln")).rejects.toMatchObject(failure);
    script.clockMs += 2_999;
    await expect(resolver.resolve("anvil")).rejects.toMatchObject(failure);
    expect(asked).toHaveLength(1);
    script.clockMs += 1;
    expect(await resolver.resolve("anvil")).toMatchObject({ ip: "100.70.0.2", source: "mute" });
  });
});

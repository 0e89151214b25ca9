import { describe, expect, onTestFinished, test } from "vitest";
import { SourceError } from "./errors.ts";
import { magicDns, type NameServer } from "./name-server.ts";
import { type NameAnswer, startFakeNameServer } from "./testing/fake-name-server.ts";
import { sampleStatus } from "./testing/sample-status.ts";
import { away, scriptResolver } from "./testing/scripted-resolver.ts";

const anvil = "anvil.moss-lantern.ts.net";
const serve = (answer: NameAnswer) => startFakeNameServer({ [anvil]: answer });

describe("magicDns", () => {
  test("asks the server for the address", async () => {
    await using fake = await serve("100.70.0.2");
    expect(await magicDns({ server: fake.server }).lookup(anvil)).toBe("100.70.0.2");
    expect(fake.asked).toEqual([anvil]);
  });

  test("does not ask the system's resolver, which would find localhost in the hosts file", async () => {
    await using fake = await startFakeNameServer({ localhost: "100.70.0.9" });
    expect(await magicDns({ server: fake.server }).lookup("localhost")).toBe("100.70.0.9");
  });

  test.for<{ answer: NameAnswer; code: string; says: RegExp }>([
    { answer: "NXDOMAIN", code: "BAD_RESPONSE", says: /knows no IPv4 address .*ENOTFOUND/ },
    { answer: "NODATA", code: "BAD_RESPONSE", says: /knows no IPv4 address .*ENODATA/ },
    { answer: "SERVFAIL", code: "BAD_RESPONSE", says: /could not answer .*ESERVFAIL/ },
    { answer: "192.168.7.2", code: "BAD_RESPONSE", says: /192\.168\.7\.2, which is not a tailnet/ },
    { answer: "100.115.92.7", code: "BAD_RESPONSE", says: /which is not a tailnet/ },
  ])("refuses the answer $answer", async ({ answer, code, says }) => {
    await using fake = await serve(answer);
    const lookup = magicDns({ server: fake.server, timeoutMs: 5_000 }).lookup(anvil);
    await expect(lookup).rejects.toMatchObject({
      code,
      source: "magic-dns",
      message: expect.stringMatching(says),
    });
    expect(fake.asked).toEqual([anvil]);
  });

  test("reports silence after its own timeout, before c-ares would", async () => {
    await using fake = await serve("SILENCE");
    const lookup = magicDns({ server: fake.server, timeoutMs: 50 }).lookup(anvil);
    await expect(lookup).rejects.toMatchObject({
      code: "DAEMON_HUNG",
      message: expect.stringContaining("did not answer"),
      cause: { code: "ECANCELLED" },
    });
  });

  test("reports that nothing listens at the address", async () => {
    const { server } = await (async () => {
      await using closed = await serve("NODATA");
      return closed;
    })();
    await expect(magicDns({ server }).lookup(anvil)).rejects.toMatchObject({
      code: "DAEMON_ABSENT",
    });
  });

  test("ends when the signal aborts, before and after the query", async () => {
    await using fake = await serve("SILENCE");
    const { lookup } = magicDns({ server: fake.server, timeoutMs: 60_000 });
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(lookup(anvil, { signal: gone })).rejects.toThrow("gone");
    expect(fake.asked).toEqual([]);

    const stop = new AbortController();
    const answer = expect(lookup(anvil, { signal: stop.signal })).rejects.toThrow("called off");
    await expect.poll(() => fake.asked).toEqual([anvil]);
    stop.abort(new Error("called off"));
    await answer;
  });

  test.for([{ server: "dns.example" }, { server: "" }, { timeoutMs: 0 }])(
    "refuses %j when it is created",
    (options) => {
      expect(() => magicDns(options)).toThrow();
    },
  );
});

describe("with a name server", () => {
  const names: Record<string, NameAnswer> = {
    "anvil.moss-lantern.ts.net": "100.70.0.2",
    "kiln.quiet-harbor.ts.net": "100.99.0.1",
    "newcomer.moss-lantern.ts.net": "100.70.0.77",
    "gone.moss-lantern.ts.net": "NXDOMAIN",
  };

  /** Sets up a source that does not answer, and a name server that knows the nodes. */
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

  test("it is not asked when the daemon reports that it is stopped", async () => {
    const { resolver, script, dns } = await setUpWith();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver.resolve("anvil")).rejects.toMatchObject({ code: "NOT_RUNNING" });
    expect(dns.asked).toEqual([]);
  });

  test("it gives the address when the source fails, and nothing else", async () => {
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

  test("it comes before the last good status, and completes labels with that status's suffix", async () => {
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

  test("the last good status is used when the name server does not answer either", async () => {
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

  test("both failures are reported when nothing is left", async () => {
    const { resolver, script } = await setUpWith({ suffix: "moss-lantern.ts.net" });
    script.answer = away;
    await expect(resolver.resolve("gone")).rejects.toMatchObject({
      code: "ALL_SOURCES_FAILED",
      failures: [{ source: "scripted" }, { source: "magic-dns" }],
      message: expect.stringMatching(/\n- scripted: the daemon is away\n- magic-dns: .*ENOTFOUND/),
    });
  });

  test("a silent name server is asked once per time to live", async () => {
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

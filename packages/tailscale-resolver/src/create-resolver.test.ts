import { describe, expect, onTestFinished, test } from "vitest";
import { createResolver, type ResolverOptions } from "./create-resolver.ts";
import { SourceError } from "./errors.ts";
import { magicDns, type NameServer } from "./magic-dns.ts";
import { parseStatus } from "./parse-status.ts";
import type { Source } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import type { Status } from "./status.ts";
import { type NameAnswer, startFakeNameServer } from "./testing/fake-name-server.ts";
import { sampleStatus, toJson } from "./testing/sample-status.ts";

const away = new SourceError("the daemon is away", { code: "DAEMON_ABSENT", source: "scripted" });

/** A source that says what the test put there, and a clock that the test moves. */
function setUp(options: Omit<ResolverOptions, "source" | "now"> = {}) {
  const script: { answer: object | Error; reads: number; clockMs: number } = {
    answer: sampleStatus(),
    reads: 0,
    clockMs: 1_000,
  };
  const source: Source = {
    name: "scripted",
    async read() {
      script.reads += 1;
      if (script.answer instanceof Error) throw script.answer;
      return parseStatus(toJson(script.answer), "scripted");
    },
  };
  return { script, resolver: createResolver({ source, now: () => script.clockMs, ...options }) };
}

describe("createResolver", () => {
  test("answers with the address and what is known of the node", async () => {
    const { resolver } = setUp();
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

  test("says when only a proxy reaches the address", async () => {
    const { resolver, script } = setUp();
    script.answer = sampleStatus({ TUN: false });
    expect(await resolver.resolve("anvil")).toMatchObject({
      via: "proxy",
      localAddress: undefined,
    });
  });

  test("lists peers by names that it resolves", async () => {
    const { resolver } = setUp();
    const peers = await resolver.peers();
    const reachable = peers.filter(({ ip, expired }) => ip !== undefined && !expired);
    expect(reachable.length).toBeGreaterThan(3);
    for (const { name, ip } of reachable) {
      expect(await resolver.resolve(name)).toMatchObject({ name, ip });
    }
  });

  test("keeps its list when a caller rearranges the one it got", async () => {
    const { resolver } = setUp();
    (await resolver.peers()).length = 0;
    expect(await resolver.peers()).not.toEqual([]);
  });

  test("describes this machine", async () => {
    expect(await setUp().resolver.self()).toMatchObject({ name: "forge", self: true });
  });

  test("says so when the source does not know this machine", async () => {
    const resolver = createResolver({ source: staticSource({ anvil: "127.0.0.1" }) });
    await expect(resolver.self()).rejects.toMatchObject({ code: "NO_SELF" });
  });

  test.for(["peers", "self"] as const)("refuses %s of a stopped daemon", async (method) => {
    const { resolver, script } = setUp();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver[method]()).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("asks once for many callers", async () => {
    const { resolver, script } = setUp({ ttlMs: 0 });
    await Promise.all([resolver.resolve("anvil"), resolver.resolve("kiln"), resolver.peers()]);
    expect(script.reads).toBe(1);
  });

  test("asks again when the status has reached its time to live", async () => {
    const { resolver, script } = setUp({ ttlMs: 3_000 });
    await resolver.resolve("anvil");
    script.clockMs += 2_999;
    expect(await resolver.resolve("anvil")).toMatchObject({ ageMs: 2_999, stale: false });
    expect(script.reads).toBe(1);
    script.clockMs += 1;
    expect(await resolver.resolve("anvil")).toMatchObject({ ageMs: 0 });
    expect(script.reads).toBe(2);
  });

  test("does not ask about a text that cannot be a name", async () => {
    const { resolver, script } = setUp();
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
    expect(() => setUp(options)).toThrow(RangeError);
  });
});

describe("while the source fails", () => {
  async function afterOneAnswer() {
    const { resolver, script } = setUp({ ttlMs: 3_000, maxStaleMs: 60_000 });
    await resolver.resolve("anvil");
    script.answer = away;
    script.clockMs += 5_000;
    return { resolver, script };
  }

  test("the failure is thrown when there was no answer before, also once per time to live", async () => {
    const { resolver, script } = setUp({ ttlMs: 3_000 });
    script.answer = away;
    await expect(resolver.resolve("anvil")).rejects.toBe(away);
    script.clockMs += 2_999;
    await expect(resolver.resolve("anvil")).rejects.toBe(away);
    expect(script.reads).toBe(1);
    script.answer = sampleStatus();
    script.clockMs += 1;
    expect((await resolver.resolve("anvil")).stale).toBe(false);
  });

  test("the last good address is given, flagged and with its age", async () => {
    const { resolver } = await afterOneAnswer();
    expect(await resolver.resolve("anvil")).toMatchObject({
      ip: "100.70.0.2",
      stale: true,
      ageMs: 5_000,
    });
  });

  test("the source is asked once per time to live", async () => {
    const { resolver, script } = await afterOneAnswer();
    await resolver.resolve("anvil");
    script.clockMs += 2_999;
    await resolver.resolve("anvil");
    expect(script.reads).toBe(2);
    script.clockMs += 1;
    await resolver.resolve("anvil");
    expect(script.reads).toBe(3);
  });

  test("the address is fresh again as soon as the source answers", async () => {
    const { resolver, script } = await afterOneAnswer();
    await resolver.resolve("anvil");
    script.answer = sampleStatus();
    script.clockMs += 3_000;
    expect(await resolver.resolve("anvil")).toMatchObject({ stale: false, ageMs: 0 });
  });

  test("the last good address has an end", async () => {
    const { resolver, script } = await afterOneAnswer();
    script.clockMs += 55_000;
    expect(await resolver.resolve("anvil")).toMatchObject({ ageMs: 60_000 });
    script.clockMs += 1;
    await expect(resolver.resolve("anvil")).rejects.toBe(away);
  });

  test("a node that the old status does not have is no proof: the failure is thrown", async () => {
    const { resolver } = await afterOneAnswer();
    await expect(resolver.resolve("newcomer")).rejects.toBe(away);
  });

  test("neither the peers nor this machine are answered from memory", async () => {
    const { resolver } = await afterOneAnswer();
    await resolver.resolve("anvil");
    await expect(resolver.peers()).rejects.toBe(away);
    await expect(resolver.self()).rejects.toBe(away);
  });

  test("a daemon that says it is stopped has not failed: nothing old is given", async () => {
    const { resolver, script } = await afterOneAnswer();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver.resolve("anvil")).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("a read that was called off counts for nothing, however it ends", async () => {
    const reads: { signal: AbortSignal | undefined; end(status: Promise<Status>): void }[] = [];
    const source: Source = {
      name: "interruptible",
      read: ({ signal } = {}) => new Promise((end) => reads.push({ signal, end })),
    };
    const ip = (ip: string) => staticSource({ anvil: ip }).read();
    let clockMs = 0;
    const resolver = createResolver({ source, now: () => clockMs });
    const interrupted = async () => {
      clockMs += 5_000;
      const giveUp = new AbortController();
      const answer = resolver.resolve("anvil", { signal: giveUp.signal });
      giveUp.abort(new Error("no time"));
      await expect(answer).rejects.toThrow("no time");
      expect(reads.at(-1)?.signal?.aborted).toBe(true);
    };

    await interrupted();
    await interrupted();
    const answer = resolver.resolve("anvil");
    reads[2]?.end(ip("127.0.0.3"));
    expect(await answer).toMatchObject({ ip: "127.0.0.3", stale: false });

    reads[0]?.end(ip("127.0.0.1"));
    reads[1]?.end(Promise.reject(away));
    await new Promise(setImmediate);
    expect(await resolver.resolve("anvil")).toMatchObject({ ip: "127.0.0.3", stale: false });
    expect(reads).toHaveLength(3);
  });
});

describe("while the source hangs", () => {
  /** One good answer, and then one that the test gives. */
  async function afterOneAnswer(patienceMs: number) {
    const status = parseStatus(toJson(sampleStatus()), "hanging");
    const reads = [Promise.withResolvers<Status>(), Promise.withResolvers<Status>()] as const;
    let count = 0;
    const source: Source = {
      name: "hanging",
      read: () => reads[count++]?.promise ?? Promise.reject(new Error("a third read")),
    };
    reads[0].resolve(status);
    let clockMs = 0;
    const resolver = createResolver({ source, patienceMs, now: () => clockMs });
    await resolver.resolve("anvil");
    clockMs += 5_000;
    return { resolver, status, end: reads[1] };
  }

  test("the last good address is given, and the failure, when it comes, spares the next", async () => {
    const { resolver, end } = await afterOneAnswer(20);
    const stale = { ip: "100.70.0.2", stale: true, ageMs: 5_000 };
    expect(await resolver.resolve("anvil")).toMatchObject(stale);
    end.reject(away);
    await end.promise.catch(() => {});
    await expect(resolver.peers()).rejects.toBe(away);
    expect(await resolver.resolve("anvil")).toMatchObject(stale);
  });

  test("a status that comes too late for one caller serves the next", async () => {
    const { resolver, status, end } = await afterOneAnswer(20);
    expect((await resolver.resolve("anvil")).stale).toBe(true);
    end.resolve(status);
    await end.promise;
    expect(await resolver.resolve("anvil")).toMatchObject({ stale: false, ageMs: 0 });
  });

  test("a node that the old status does not have is the daemon's failure", async () => {
    const { resolver } = await afterOneAnswer(20);
    await expect(resolver.resolve("newcomer")).rejects.toMatchObject({ code: "DAEMON_HUNG" });
  });

  test("a caller who gives up sooner gets the signal's reason", async () => {
    const { resolver } = await afterOneAnswer(60_000);
    const giveUp = new AbortController();
    const answer = resolver.resolve("anvil", { signal: giveUp.signal });
    giveUp.abort(new Error("no time"));
    await expect(answer).rejects.toThrow("no time");
  });

  test("the list of peers waits, since it is never old", async () => {
    const { resolver, status, end } = await afterOneAnswer(0);
    const peers = resolver.peers();
    expect((await resolver.resolve("anvil")).stale).toBe(true);
    end.resolve(status);
    expect(await peers).toHaveLength(status.peers.length);
  });
});

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
    return { dns, ...setUp({ nameServer, maxStaleMs: 60_000 }) };
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
    const { resolver, script } = setUp({ nameServer, ttlMs: 3_000 });
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

import { describe, expect, test } from "vitest";
import { createResolver, type ResolverOptions } from "./create-resolver.ts";
import { SourceError } from "./errors.ts";
import { parseStatus } from "./parse-status.ts";
import type { Source } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import type { Status } from "./status.ts";
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
      source: "scripted",
      ageMs: 0,
      stale: false,
    });
  });

  test("says when only a proxy reaches the address", async () => {
    const { resolver, script } = setUp();
    script.answer = sampleStatus({ TUN: false });
    expect((await resolver.resolve("anvil")).via).toBe("proxy");
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

  test.for([{ ttlMs: -1 }, { ttlMs: Number.NaN }, { maxStaleMs: Number.POSITIVE_INFINITY }])(
    "refuses %j when it is created",
    (options) => {
      expect(() => setUp(options)).toThrow(RangeError);
    },
  );
});

describe("while the source fails", () => {
  async function afterOneAnswer() {
    const { resolver, script } = setUp({ ttlMs: 3_000, maxStaleMs: 60_000 });
    await resolver.resolve("anvil");
    script.answer = away;
    script.clockMs += 5_000;
    return { resolver, script };
  }

  test("the failure is thrown when there was no answer before", async () => {
    const { resolver, script } = setUp();
    script.answer = away;
    await expect(resolver.resolve("anvil")).rejects.toBe(away);
    script.answer = sampleStatus();
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

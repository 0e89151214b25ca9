import { describe, expect, test } from "vitest";
import { createResolver } from "./create-resolver.ts";
import { parseStatus } from "./parse-status.ts";
import type { Source } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import type { Status } from "./status.ts";
import { sampleStatus, toJson } from "./testing/sample-status.ts";
import { away, scriptResolver } from "./testing/scripted-resolver.ts";

describe("while the source fails", () => {
  async function afterOneAnswer() {
    const { resolver, script } = scriptResolver({ ttlMs: 3_000, maxStaleMs: 60_000 });
    await resolver.resolve("anvil");
    script.answer = away;
    script.clockMs += 5_000;
    return { resolver, script };
  }

  test("the failure is thrown when there was no answer before, also once per time to live", async () => {
    const { resolver, script } = scriptResolver({ ttlMs: 3_000 });
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

import { describe, expect, test, vi } from "vitest";
import { parseStatus } from "./parse-status.ts";
import { createResolver } from "./resolver.ts";
import type { Source } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import type { Status } from "./status.ts";
import { singleFlight } from "./status-cache.ts";
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

  test("the last good address is returned, marked as stale and with its age", async () => {
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

  test("the last good address expires", async () => {
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

  test("neither the peers nor this machine come from an old status", async () => {
    const { resolver } = await afterOneAnswer();
    await resolver.resolve("anvil");
    await expect(resolver.peers()).rejects.toBe(away);
    await expect(resolver.self()).rejects.toBe(away);
  });

  test("a stopped daemon has not failed, so no old status is used", async () => {
    const { resolver, script } = await afterOneAnswer();
    script.answer = sampleStatus({ BackendState: "Stopped" });
    await expect(resolver.resolve("anvil")).rejects.toMatchObject({ code: "NOT_RUNNING" });
  });

  test("an aborted read has no effect, however it ends", async () => {
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
  /** Creates a resolver whose source answers once, and whose next answer the test controls. */
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

  test("the last good address is returned, and the later failure spares the next caller the wait", async () => {
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

  test("a node that the old status does not have gets the daemon's failure", async () => {
    const { resolver } = await afterOneAnswer(20);
    await expect(resolver.resolve("newcomer")).rejects.toMatchObject({ code: "DAEMON_HUNG" });
  });

  test("a caller whose signal aborts earlier gets its reason", async () => {
    const { resolver } = await afterOneAnswer(60_000);
    const giveUp = new AbortController();
    const answer = resolver.resolve("anvil", { signal: giveUp.signal });
    giveUp.abort(new Error("no time"));
    await expect(answer).rejects.toThrow("no time");
  });

  test("the list of peers waits, since it is never stale", async () => {
    const { resolver, status, end } = await afterOneAnswer(0);
    const peers = resolver.peers();
    expect((await resolver.resolve("anvil")).stale).toBe(true);
    end.resolve(status);
    expect(await peers).toHaveLength(status.peers.length);
  });
});

interface Run {
  signal: AbortSignal;
  resolve(value: string): void;
  reject(error: Error): void;
}

function setUp() {
  const runs: Run[] = [];
  const join = singleFlight<string>(
    (signal) => new Promise((resolve, reject) => runs.push({ signal, resolve, reject })),
  );
  return { join, runs };
}

describe("singleFlight", () => {
  test("shares one run among all callers, then starts a new one", async () => {
    const { join, runs } = setUp();
    const both = Promise.all([join(), join()]);
    runs[0]?.resolve("first");
    expect(await both).toEqual(["first", "first"]);

    const later = join();
    runs[1]?.resolve("second");
    expect(await later).toBe("second");
    expect(runs).toHaveLength(2);
  });

  test("shares a failure, and starts a new run after it", async () => {
    const { join, runs } = setUp();
    const both = Promise.allSettled([join(), join()]);
    runs[0]?.reject(new Error("down"));
    expect(await both).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);

    const later = join();
    runs[1]?.resolve("up");
    expect(await later).toBe("up");
  });

  test("lets one caller leave without disturbing the other", async () => {
    const { join, runs } = setUp();
    const impatient = new AbortController();
    const left = join(impatient.signal);
    const stayed = join();
    impatient.abort(new Error("no time"));
    await expect(left).rejects.toThrow("no time");
    expect(runs[0]?.signal.aborted).toBe(false);

    runs[0]?.resolve("done");
    expect(await stayed).toBe("done");
    expect(runs).toHaveLength(1);
  });

  test("aborts the run when the last caller has left, and starts a new one for the next", async () => {
    const { join, runs } = setUp();
    const impatient = new AbortController();
    const left = join(impatient.signal);
    impatient.abort();
    await expect(left).rejects.toThrow();
    expect(runs[0]?.signal.aborted).toBe(true);

    const next = join();
    runs[0]?.resolve("too late");
    runs[1]?.resolve("in time");
    expect(await next).toBe("in time");
  });

  test("starts nothing when the signal has already aborted", async () => {
    const task = vi.fn(async () => "never");
    await expect(singleFlight(task)(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(task).not.toHaveBeenCalled();
  });
});

import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordLog } from "../../test/recorded-log.ts";
import {
  createReplyWaker,
  createWakeClient,
  sendWakeUp,
  silenceMs,
  type WakeAddress,
  type WakeResult,
} from "./client.ts";
import { keepWakeServer, openWakeServer } from "./server.ts";

/** A wake server on loopback; `next` resolves with the wake-up after those that were read. */
async function listen(address = "127.0.0.1") {
  const wakes: (WakeAddress | undefined)[] = [];
  let heard = Promise.withResolvers<void>();
  const waker = await openWakeServer({
    address,
    onWake: (replyPort) => {
      wakes.push(replyPort);
      heard.resolve();
      heard = Promise.withResolvers();
    },
  });
  onTestFinished(() => waker.close());
  return { waker, wakes, heard: () => heard.promise };
}

/** What a raw request gets until the connection is closed. */
async function send({ address, port }: WakeAddress, lines: string[], body = ""): Promise<string> {
  const socket = connect(port, address);
  socket.write([...lines, "", body].join("\r\n"));
  return text(socket);
}

/** A port where nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

describe("openWakeServer", () => {
  test("answers a wake-up only with 204, and notifies its owner", async () => {
    const { waker, wakes } = await listen();
    const answer = await send(waker, ["POST /wake HTTP/1.1", "Host: x"]);
    expect(answer).toMatch(
      /^HTTP\/1\.1 204 No Content\r\nconnection: close\r\nloom-clock: \d{13}\r\nDate: [^\r]+\r\n\r\n$/,
    );
    expect(wakes).toEqual([undefined]);
  });

  test.for([
    { title: "another path", lines: ["POST / HTTP/1.1", "Host: x"], status: 404 },
    { title: "another method", lines: ["GET /wake HTTP/1.1", "Host: x"], status: 405 },
    {
      title: "a long body",
      lines: ["POST /wake HTTP/1.1", "Host: x", "Content-Length: 1025"],
      status: 413,
    },
    {
      title: "a body without end",
      lines: ["POST /wake HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"],
      status: 413,
    },
    {
      title: "long headers",
      lines: ["POST /wake HTTP/1.1", "Host: x", `X: ${"x".repeat(5_000)}`],
      status: 431,
    },
    { title: "what is not HTTP", lines: ["hello"], status: 400 },
  ])("does not wake for $title", async ({ lines, status }) => {
    const { waker, wakes } = await listen();
    expect(await send(waker, lines)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(wakes).toEqual([]);
  });

  test("wakes for a short body, and does not read it", async () => {
    const { waker, wakes } = await listen();
    const lines = ["POST /wake HTTP/1.1", "Host: x", "Content-Length: 4"];
    expect(await send(waker, lines, "ding")).toMatch(/^HTTP\/1\.1 204 /);
    expect(wakes).toHaveLength(1);
  });

  test("merges a hundred simultaneous wake-ups into two: one now, and one after it", async () => {
    const { waker, wakes, heard } = await listen();
    const first = heard();
    const all = Promise.all(Array.from({ length: 100 }, () => sendWakeUp(waker).catch(() => {})));
    await first;
    await heard();
    await all;
    expect(wakes.length).toBeGreaterThanOrEqual(2);
    // At most one in 20 ms, however long the hundred took.
    expect(wakes.length).toBeLessThan(50);
  });

  test("reports a caller without a wake server beside callers with one", async () => {
    const { waker, wakes, heard } = await listen();
    await sendWakeUp(waker, { replyPort: 1 });
    const second = heard();
    await Promise.all([undefined, 2, 3].map((replyPort) => sendWakeUp(waker, { replyPort })));
    await second;
    expect(wakes).toContain(undefined);
  });

  test("sends the caller's own wake port, and leaves out an invalid one", async () => {
    const { waker, wakes } = await listen();
    await sendWakeUp(waker, { replyPort: 7_421 });
    expect(wakes).toEqual([{ address: "127.0.0.1", port: 7_421, from: "127.0.0.1" }]);
    const { waker: other, wakes: none } = await listen();
    await send(other, ["POST /wake HTTP/1.1", "Host: x", "loom-wake-reply-port: 70000"]);
    expect(none).toEqual([undefined]);
  });

  test("listens on loopback for an address that only tailscaled has", async () => {
    const { waker, wakes } = await listen("100.64.0.1");
    expect(waker.address).toBe("100.64.0.1");
    await sendWakeUp({ address: "127.0.0.1", port: waker.port });
    expect(wakes).toHaveLength(1);
  });

  test("refuses an address that is open to others", async () => {
    for (const address of ["0.0.0.0", "::", "192.168.7.10"]) {
      await expect(openWakeServer({ address, onWake: () => {} })).rejects.toThrow(RangeError);
    }
  });
});

describe("sendWakeUp", () => {
  test("answers with the clock of the wake server's machine", async () => {
    const { waker } = await listen();
    const before = Date.now();
    const { clockMs } = await sendWakeUp(waker);
    expect(clockMs).toBeGreaterThanOrEqual(before);
    expect(clockMs).toBeLessThanOrEqual(Date.now());
  });

  test.for(["", "loom-clock: 1e12\r\n", "loom-clock: 99999999999999\r\n", "loom-clock: -1\r\n"])(
    "ignores a clock of a wake server that reports %j",
    async (header) => {
      const server = createServer((socket) => {
        socket.end(`HTTP/1.1 204 No Content\r\n${header}connection: close\r\n\r\n`);
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      onTestFinished(() => void server.close());
      const { port } = server.address() as AddressInfo;
      expect(await sendWakeUp({ address: "127.0.0.1", port })).toEqual({ clockMs: undefined });
    },
  );

  test("calls only addresses of this machine and the tailnet", async () => {
    const waker = { address: "169.254.169.254", port: 80 };
    await expect(sendWakeUp(waker)).rejects.toThrow(RangeError);
  });

  test("fails when another service answers, and when none does", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    await expect(sendWakeUp({ address: "127.0.0.1", port })).rejects.toThrow("not a wake server");
    const nobody = { address: "127.0.0.1", port: await freePort() };
    await expect(sendWakeUp(nobody)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("waits a second for an answer", async () => {
    const server = createServer(() => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const startedAt = performance.now();
    await expect(sendWakeUp({ address: "127.0.0.1", port })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(performance.now() - startedAt).toBeGreaterThan(950);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});

describe("createWakeClient", () => {
  test("pauses longer each time for a wake server that does not answer", async () => {
    let now = 0;
    const log = recordLog();
    const results: WakeResult[] = [];
    const onWoken = (result: WakeResult) => void results.push(result);
    const wakeClient = createWakeClient({ log, onWoken, now: () => now });
    const waker = { address: "127.0.0.1", port: await freePort() };
    const failed = () =>
      log.lines.filter(({ message }) => message === "wake server did not answer");
    wakeClient.wake(waker);
    await expect.poll(failed).toHaveLength(1);
    now = 4_999;
    wakeClient.wake(waker);
    now = 5_000;
    wakeClient.wake(waker);
    await expect.poll(failed).toHaveLength(2);
    expect(failed().map(({ facts }) => facts.silentMs)).toEqual([5_000, 10_000]);
    expect(results).toEqual(["unanswered", "silenced", "unanswered"]);
  });

  test("wakes again for offers that came up during a wake-up", async () => {
    const { waker, wakes, heard } = await listen();
    const wakeClient = createWakeClient({ log: recordLog(), replyPort: () => 7_421 });
    const first = heard();
    for (let asked = 0; asked < 10; asked += 1) wakeClient.wake(waker);
    await first;
    await heard();
    expect(wakes).toEqual([
      { address: "127.0.0.1", port: 7_421, from: "127.0.0.1" },
      { address: "127.0.0.1", port: 7_421, from: "127.0.0.1" },
    ]);
  });

  test("waits five minutes at most", () => {
    expect([1, 2, 3, 7, 8, 2_000].map(silenceMs)).toEqual([
      5_000, 10_000, 20_000, 300_000, 300_000, 300_000,
    ]);
  });
});

describe("createReplyWaker", () => {
  test("wakes the last four callers", () => {
    const woken: WakeAddress[] = [];
    const replyPort = createReplyWaker({ wake: (waker) => woken.push(waker) });
    for (const port of [1, 2, 3, 4, 1, 5]) replyPort.remember({ address: "127.0.0.1", port });
    replyPort.remember(undefined);
    replyPort.wake();
    expect(woken.map(({ port }) => port)).toEqual([3, 4, 1, 5]);
  });
});

describe("keepWakeServer", () => {
  test("moves with the machine's address, and closes at the end", async () => {
    const stop = new AbortController();
    const opened: WakeAddress[] = [];
    let address = "127.0.0.1";
    const { done } = await keepWakeServer(
      {
        ownAddress: async () => address,
        log: recordLog(),
        onWake: () => {},
        onOpen: ({ address, port }) => opened.push({ address, port }),
        checkEveryMs: 5,
      },
      stop,
    );
    expect(opened).toMatchObject([{ address: "127.0.0.1" }]);
    address = "127.0.0.2";
    await expect.poll(() => opened).toHaveLength(2);
    const [old, now] = opened as [WakeAddress, WakeAddress];
    await expect(sendWakeUp(old)).rejects.toThrow();
    await sendWakeUp(now);
    stop.abort();
    await done;
    await expect(sendWakeUp(now)).rejects.toThrow();
  });

  test("works without a wake server that cannot be opened, and reports why", async () => {
    const stop = new AbortController();
    const log = recordLog();
    const ownAddress = async () => "192.168.7.10";
    const options = { ownAddress, log, onWake: () => {}, onOpen: () => {} };
    const { done } = await keepWakeServer(options, stop);
    expect(log.lines).toMatchObject([{ level: "warn", facts: { err: expect.any(RangeError) } }]);
    stop.abort();
    await done;
  });
});

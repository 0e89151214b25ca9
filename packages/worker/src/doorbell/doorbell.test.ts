import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordLog } from "../../test/recorded-log.ts";
import type { BellAddress } from "./bell-address.ts";
import { createRinger, type RingResult, silenceMs } from "./create-ringer.ts";
import { keepDoorbell } from "./keep-doorbell.ts";
import { openDoorbell } from "./open-doorbell.ts";
import { createRingBack } from "./ring-back.ts";
import { ringDoorbell } from "./ring-doorbell.ts";

/** A doorbell on loopback; `next` resolves with the ring after those that were read. */
async function listen(address = "127.0.0.1") {
  const rings: (BellAddress | undefined)[] = [];
  let heard = Promise.withResolvers<void>();
  const bell = await openDoorbell({
    address,
    onRing: (ringBack) => {
      rings.push(ringBack);
      heard.resolve();
      heard = Promise.withResolvers();
    },
  });
  onTestFinished(() => bell.close());
  return { bell, rings, heard: () => heard.promise };
}

/** What a raw request gets until the connection is closed. */
async function send({ address, port }: BellAddress, lines: string[], body = ""): Promise<string> {
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

describe("openDoorbell", () => {
  test("answers a ring with 204 and nothing else, and tells its owner", async () => {
    const { bell, rings } = await listen();
    const answer = await send(bell, ["POST /bell HTTP/1.1", "Host: x"]);
    expect(answer).toMatch(
      /^HTTP\/1\.1 204 No Content\r\nconnection: close\r\nloom-clock: \d{13}\r\nDate: [^\r]+\r\n\r\n$/,
    );
    expect(rings).toEqual([undefined]);
  });

  test.for([
    { title: "another path", lines: ["POST / HTTP/1.1", "Host: x"], status: 404 },
    { title: "another method", lines: ["GET /bell HTTP/1.1", "Host: x"], status: 405 },
    {
      title: "a long body",
      lines: ["POST /bell HTTP/1.1", "Host: x", "Content-Length: 1025"],
      status: 413,
    },
    {
      title: "a body without end",
      lines: ["POST /bell HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"],
      status: 413,
    },
    {
      title: "long headers",
      lines: ["POST /bell HTTP/1.1", "Host: x", `X: ${"x".repeat(5_000)}`],
      status: 431,
    },
    { title: "what is not HTTP", lines: ["hello"], status: 400 },
  ])("does not ring for $title", async ({ lines, status }) => {
    const { bell, rings } = await listen();
    expect(await send(bell, lines)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(rings).toEqual([]);
  });

  test("rings for a short body, and does not read it", async () => {
    const { bell, rings } = await listen();
    const lines = ["POST /bell HTTP/1.1", "Host: x", "Content-Length: 4"];
    expect(await send(bell, lines, "ding")).toMatch(/^HTTP\/1\.1 204 /);
    expect(rings).toHaveLength(1);
  });

  test("takes a hundred rings at once for two: one now, one for those after it", async () => {
    const { bell, rings, heard } = await listen();
    const first = heard();
    const all = Promise.all(Array.from({ length: 100 }, () => ringDoorbell(bell).catch(() => {})));
    await first;
    await heard();
    await all;
    expect(rings.length).toBeGreaterThanOrEqual(2);
    // At most one in 20 ms, however long the hundred took.
    expect(rings.length).toBeLessThan(50);
  });

  test("does not hide one without a bell behind others that have one", async () => {
    const { bell, rings, heard } = await listen();
    await ringDoorbell(bell, { ringBack: 1 });
    const second = heard();
    await Promise.all([undefined, 2, 3].map((ringBack) => ringDoorbell(bell, { ringBack })));
    await second;
    expect(rings).toContain(undefined);
  });

  test("tells where to ring back, and leaves out what is no port", async () => {
    const { bell, rings } = await listen();
    await ringDoorbell(bell, { ringBack: 7_421 });
    expect(rings).toEqual([{ address: "127.0.0.1", port: 7_421, from: "127.0.0.1" }]);
    const { bell: other, rings: none } = await listen();
    await send(other, ["POST /bell HTTP/1.1", "Host: x", "loom-ring-back: 70000"]);
    expect(none).toEqual([undefined]);
  });

  test("listens on loopback for an address that only tailscaled has", async () => {
    const { bell, rings } = await listen("100.64.0.1");
    expect(bell.address).toBe("100.64.0.1");
    await ringDoorbell({ address: "127.0.0.1", port: bell.port });
    expect(rings).toHaveLength(1);
  });

  test("refuses an address that is open to others", async () => {
    for (const address of ["0.0.0.0", "::", "192.168.7.10"]) {
      await expect(openDoorbell({ address, onRing: () => {} })).rejects.toThrow(RangeError);
    }
  });
});

describe("ringDoorbell", () => {
  test("answers with the clock of the bell's machine", async () => {
    const { bell } = await listen();
    const before = Date.now();
    const { clockMs } = await ringDoorbell(bell);
    expect(clockMs).toBeGreaterThanOrEqual(before);
    expect(clockMs).toBeLessThanOrEqual(Date.now());
  });

  test.for(["", "loom-clock: 1e12\r\n", "loom-clock: 99999999999999\r\n", "loom-clock: -1\r\n"])(
    "knows no clock of a bell that tells %j",
    async (header) => {
      const server = createServer((socket) => {
        socket.end(`HTTP/1.1 204 No Content\r\n${header}connection: close\r\n\r\n`);
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      onTestFinished(() => void server.close());
      const { port } = server.address() as AddressInfo;
      expect(await ringDoorbell({ address: "127.0.0.1", port })).toEqual({ clockMs: undefined });
    },
  );

  test("goes nowhere but near", async () => {
    const bell = { address: "169.254.169.254", port: 80 };
    await expect(ringDoorbell(bell)).rejects.toThrow(RangeError);
  });

  test("fails where something else answers, and where nothing does", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    await expect(ringDoorbell({ address: "127.0.0.1", port })).rejects.toThrow("not a doorbell");
    const nobody = { address: "127.0.0.1", port: await freePort() };
    await expect(ringDoorbell(nobody)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("waits a second for an answer", async () => {
    const server = createServer(() => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const startedAt = performance.now();
    await expect(ringDoorbell({ address: "127.0.0.1", port })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(performance.now() - startedAt).toBeGreaterThan(950);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});

describe("createRinger", () => {
  test("leaves a bell alone that does not answer, for longer each time", async () => {
    let now = 0;
    const log = recordLog();
    const results: RingResult[] = [];
    const onRung = (result: RingResult) => void results.push(result);
    const ringer = createRinger({ log, onRung, now: () => now });
    const bell = { address: "127.0.0.1", port: await freePort() };
    const failed = () => log.lines.filter(({ message }) => message === "doorbell did not answer");
    ringer.ring(bell);
    await expect.poll(failed).toHaveLength(1);
    now = 4_999;
    ringer.ring(bell);
    now = 5_000;
    ringer.ring(bell);
    await expect.poll(failed).toHaveLength(2);
    expect(failed().map(({ facts }) => facts.silentMs)).toEqual([5_000, 10_000]);
    expect(results).toEqual(["unanswered", "silenced", "unanswered"]);
  });

  test("rings again for what came up while it rang", async () => {
    const { bell, rings, heard } = await listen();
    const ringer = createRinger({ log: recordLog(), ringBack: () => 7_421 });
    const first = heard();
    for (let asked = 0; asked < 10; asked += 1) ringer.ring(bell);
    await first;
    await heard();
    expect(rings).toEqual([
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

describe("createRingBack", () => {
  test("rings the four who rang last", () => {
    const rung: BellAddress[] = [];
    const ringBack = createRingBack({ ring: (bell) => rung.push(bell) });
    for (const port of [1, 2, 3, 4, 1, 5]) ringBack.remember({ address: "127.0.0.1", port });
    ringBack.remember(undefined);
    ringBack.ring();
    expect(rung.map(({ port }) => port)).toEqual([3, 4, 1, 5]);
  });
});

describe("keepDoorbell", () => {
  test("moves with the machine's address, and closes at the end", async () => {
    const stop = new AbortController();
    const opened: BellAddress[] = [];
    let address = "127.0.0.1";
    const { done } = await keepDoorbell(
      {
        ownAddress: async () => address,
        log: recordLog(),
        onRing: () => {},
        onOpen: ({ address, port }) => opened.push({ address, port }),
        lookMs: 5,
      },
      stop,
    );
    expect(opened).toMatchObject([{ address: "127.0.0.1" }]);
    address = "127.0.0.2";
    await expect.poll(() => opened).toHaveLength(2);
    const [old, now] = opened as [BellAddress, BellAddress];
    await expect(ringDoorbell(old)).rejects.toThrow();
    await ringDoorbell(now);
    stop.abort();
    await done;
    await expect(ringDoorbell(now)).rejects.toThrow();
  });

  test("goes without where it cannot be opened, and says why", async () => {
    const stop = new AbortController();
    const log = recordLog();
    const ownAddress = async () => "192.168.7.10";
    const options = { ownAddress, log, onRing: () => {}, onOpen: () => {} };
    const { done } = await keepDoorbell(options, stop);
    expect(log.lines).toMatchObject([{ level: "warn", facts: { err: expect.any(RangeError) } }]);
    stop.abort();
    await done;
  });
});

import { once } from "node:events";
import { chmod, link } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { createServer } from "node:net";
import { pipeline, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type FakeAnswer, sendJson, startFakeLocalApi } from "../testing/fake-local-api.ts";
import { sampleStatus, toJson } from "../testing/sample-status.ts";
import { localApiSource } from "./local-api.ts";

describe("localApiSource", () => {
  test("reads the status from a daemon that checks the caller", async () => {
    await using daemon = await startFakeLocalApi();
    const status = await localApiSource({ socketPath: daemon.socketPath }).read();
    expect(status).toMatchObject({ source: "local-api", self: { name: "forge" } });
    expect(daemon.requests).toHaveLength(1);
  });

  test("passes the daemon's checks, which Node's default headers do not pass", async () => {
    await using daemon = await startFakeLocalApi();
    const path = "/localapi/v0/status";
    const [response] = await once(get({ socketPath: daemon.socketPath, path }), "response");
    expect(response.statusCode).toBe(403);
    expect(await text(response as IncomingMessage)).toBe("invalid localapi request\n");
    expect(daemon.requests).toHaveLength(0);
  });

  test("reads a large tailnet, which arrives in many pieces", async () => {
    const Peer = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, n) => [
        `nodekey:${n}`,
        { ID: `n${n}`, DNSName: `node-${n}.moss-lantern.ts.net.`, Capabilities: ["x".repeat(500)] },
      ]),
    );
    await using daemon = await startFakeLocalApi({ status: sendJson(sampleStatus({ Peer })) });
    const { peers } = await localApiSource({ socketPath: daemon.socketPath }).read();
    expect(peers).toHaveLength(2_000);
  });

  test("stops reading an answer that is too long, and closes the connection", async () => {
    let sent = 0;
    const hungUp = Promise.withResolvers<void>();
    await using daemon = await startFakeLocalApi({
      status: (response) => {
        const endless = new Readable({
          read() {
            sent += 1_048_576;
            this.push(Buffer.alloc(1_048_576, " "));
          },
        });
        pipeline(endless, response, () => hungUp.resolve());
      },
    });
    const source = localApiSource({ socketPath: daemon.socketPath, timeoutMs: 20_000 });
    await expect(source.read()).rejects.toMatchObject({
      code: "BAD_RESPONSE",
      message: expect.stringContaining("longer than 33554432 bytes"),
    });
    await hungUp.promise;
    expect(sent).toBeLessThan(64 * 1_048_576);
  }, 20_000);

  test("reads a status without peers", async () => {
    await using daemon = await startFakeLocalApi({
      status: sendJson(sampleStatus({ Peer: null })),
    });
    expect((await localApiSource({ socketPath: daemon.socketPath }).read()).peers).toEqual([]);
  });

  test.for<{ title: string; answer: FakeAnswer; failure: object; timeoutMs?: number }>([
    {
      title: "an answer of 403 as a lack of permission",
      answer: (response) => void response.writeHead(403).end("status access denied"),
      failure: { code: "NO_PERMISSION", message: expect.stringContaining("status access denied") },
    },
    {
      title: "another user's session on Windows as a lack of permission",
      answer: (response) =>
        void response.writeHead(401).end("Tailscale already in use by EMBER\\ada"),
      failure: { code: "NO_PERMISSION", message: expect.stringContaining("already in use") },
    },
    {
      title: "a header that only a proxy adds as a bad response",
      answer: (response) => void response.writeHead(403).end("invalid localapi request\n"),
      failure: { code: "BAD_RESPONSE", message: expect.stringContaining("not through a proxy") },
    },
    {
      title: "an answer of 500 as a bad response, with its text",
      answer: (response) => void response.writeHead(500).end('{"error": "no backend"}'),
      failure: { code: "BAD_RESPONSE", message: expect.stringMatching(/HTTP 500: no backend$/) },
    },
    {
      title: "an answer of 500 in the form of older daemons",
      answer: (response) => void response.writeHead(500).end('{"Error": "no backend"}'),
      failure: { code: "BAD_RESPONSE", message: expect.stringMatching(/HTTP 500: no backend$/) },
    },
    {
      title: "truncated JSON as a bad response",
      answer: (response) => void response.end(toJson(sampleStatus()).slice(0, 400)),
      failure: { code: "BAD_RESPONSE", cause: expect.any(SyntaxError) },
    },
    {
      title: "a daemon that dies during its answer as a bad response",
      answer: (response) => {
        response.writeHead(200, { "content-length": 9_999 }).write('{"BackendState":', () => {
          response.destroy();
        });
      },
      failure: { code: "BAD_RESPONSE", cause: { code: "ECONNRESET" } },
    },
    {
      title: "silence as a hung daemon",
      answer: () => {},
      timeoutMs: 100,
      failure: { code: "DAEMON_HUNG", message: expect.stringContaining("within 100 ms") },
    },
    {
      title: "silence during the answer as a hung daemon",
      answer: (response) => void response.writeHead(200).write("{"),
      timeoutMs: 100,
      failure: { code: "DAEMON_HUNG" },
    },
  ])("reports $title", async ({ answer, failure, timeoutMs = 5_000 }) => {
    await using daemon = await startFakeLocalApi({ status: answer });
    const source = localApiSource({ socketPath: daemon.socketPath, timeoutMs });
    await expect(source.read()).rejects.toMatchObject({ source: "local-api", ...failure });
  });

  test("reports a missing socket as an absent daemon", async () => {
    const source = localApiSource({ socketPath: "/nonexistent/tailscaled.sock" });
    await expect(source.read()).rejects.toMatchObject({
      code: "DAEMON_ABSENT",
      message: expect.stringContaining("/nonexistent/tailscaled.sock"),
    });
  });

  test("reports a socket without a listener as an absent daemon", async () => {
    await using daemon = await startFakeLocalApi();
    const leftover = `${daemon.socketPath}.leftover`;
    const died = createServer().listen(`${daemon.socketPath}.died`);
    await once(died, "listening");
    // Node removes the socket file of a server that it closes, but not another link to it.
    await link(`${daemon.socketPath}.died`, leftover);
    died.close();
    await once(died, "close");
    await expect(localApiSource({ socketPath: leftover }).read()).rejects.toMatchObject({
      code: "DAEMON_ABSENT",
      cause: { code: "ECONNREFUSED" },
    });
  });

  test("reports a socket that this user may not open as a lack of permission", async () => {
    await using daemon = await startFakeLocalApi();
    await chmod(daemon.socketPath, 0);
    // File modes do not restrict root, so root asks as nobody.
    const root = process.geteuid?.() === 0;
    if (root) process.seteuid?.(65534);
    try {
      const read = localApiSource({ socketPath: daemon.socketPath }).read();
      await expect(read).rejects.toMatchObject({
        code: "NO_PERMISSION",
        cause: { code: "EACCES" },
      });
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  test("ends the exchange when the signal aborts, with its reason", async () => {
    const stop = new AbortController();
    const closed: Promise<unknown>[] = [];
    await using daemon = await startFakeLocalApi({
      status: (response) => {
        closed.push(once(response, "close"));
        stop.abort(new Error("called off"));
      },
    });
    const source = localApiSource({ socketPath: daemon.socketPath });
    await expect(source.read({ signal: stop.signal })).rejects.toThrow("called off");
    await Promise.all(closed);
    expect(closed).toHaveLength(1);
  });

  test("does not connect when the signal has already aborted", async () => {
    await using daemon = await startFakeLocalApi();
    const signal = AbortSignal.abort(new Error("gone"));
    const source = localApiSource({ socketPath: daemon.socketPath });
    await expect(source.read({ signal })).rejects.toThrow("gone");
    expect(daemon.requests).toHaveLength(0);
  });

  test("refuses a timeout of zero when it is created", () => {
    expect(() => localApiSource({ timeoutMs: 0 })).toThrow(RangeError);
  });
});

import { randomUUID } from "node:crypto";
import dns from "node:dns";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { gzipSync } from "node:zlib";
import { createHttpQueue } from "@loom/queue/http";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { httpTransport } from "../src/transport/http.ts";

const call = (url: string, timeoutMs = 15_000) =>
  httpTransport({ url, key: "sb_secret", timeoutMs }).call("loom_verify", {});

/** Listens until the test ends. */
async function listen(server: Server | ReturnType<typeof createTcpServer>, host = "127.0.0.1") {
  server.listen(0, host);
  await once(server, "listening");
  onTestFinished(() => {
    if ("closeAllConnections" in server) server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

const serve = (answer: (...args: Parameters<RequestListener>) => unknown, host?: string) =>
  listen(
    createServer((...args) => void answer(...args)),
    host,
  );

/** An API whose every connection is handled by hand, once for each request that arrives. */
const serveSocket = (onRequest: (socket: Socket, count: number) => void) => {
  let count = 0;
  return listen(
    createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => {
        count += 1;
        onRequest(socket, count);
      });
      onTestFinished(() => void socket.destroy());
    }),
  );
};

const OK = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";

describe("a request", () => {
  test("goes to a unix socket, where PostgREST has no gateway before it", async () => {
    const socketPath = path.join(tmpdir(), `${randomUUID()}.sock`);
    const server = createServer((request, response) => response.end(JSON.stringify(request.url)));
    server.listen(socketPath);
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const transport = httpTransport({ url: "http://postgrest", key: "sb_secret", socketPath });
    expect(await transport.call("loom_verify", {})).toBe("/rpc/loom_verify");
  });

  test("is HTTP/1.1, with the keys in headers and the arguments as JSON", async () => {
    const seen = Promise.withResolvers<unknown>();
    const url = await serve(async (request, response) => {
      const { method, httpVersion, headers, url: path } = request;
      const body = (await request.setEncoding("utf8").toArray()).join("");
      seen.resolve({ method, httpVersion, path, headers, body });
      response.end("[]");
    });
    const transport = httpTransport({ url, key: "sb_publishable", nodeKey: "loomn_x" });
    expect(
      await transport.call("loom_verify", { p_text: "é\u{1f9f5}", p_none: undefined }),
    ).toEqual([]);
    expect(await seen.promise).toMatchObject({
      method: "POST",
      httpVersion: "1.1",
      path: "/rest/v1/rpc/loom_verify",
      headers: {
        apikey: "sb_publishable",
        authorization: "Bearer sb_publishable",
        "x-loom-node-key": "loomn_x",
        "user-agent": "loom",
        "content-type": "application/json",
        "content-profile": "public",
      },
      body: '{"p_text":"é\u{1f9f5}"}',
    });
  });

  test.for(["", "/", "/team/loom", "/team/loom/"])(
    "keeps the path of the address: %j",
    async (prefix) => {
      const url = await serve((request, response) => response.end(JSON.stringify(request.url)));
      expect(await call(url + prefix)).toBe(`${prefix.replace(/\/$/, "")}/rest/v1/rpc/loom_verify`);
    },
  );

  test("goes to an IPv6 address", async () => {
    expect(await call(await serve((_, response) => response.end("[6]"), "::1"))).toEqual([6]);
  });

  test.for(["ftp://127.0.0.1", "https://ada:secret@127.0.0.1", "nowhere"])(
    "is never made with the address %s",
    (url) => expect(() => createHttpQueue({ url, key: "key" })).toThrow(TypeError),
  );

  test("is never made with a key that no header can hold, and the error does not show the key", () => {
    for (const keys of [{ key: "secret\n" }, { key: "k", nodeKey: "secret\r\nx: y" }]) {
      const create = () => createHttpQueue({ url: "http://127.0.0.1", ...keys });
      expect(create).toThrow(TypeError);
      expect(create).not.toThrow(/secret/);
    }
  });
});

describe("a connection", () => {
  test("serves one call after the other", async () => {
    const server = createServer((_, response) => response.end("[]"));
    const url = await listen(server);
    let connections = 0;
    server.on("connection", () => (connections += 1));
    const transport = httpTransport({ url, key: "key" });
    for (let count = 0; count < 5; count += 1) await transport.call("loom_verify", {});
    expect(connections).toBe(1);
  });

  test("is one of ten, and other calls wait", async () => {
    const waiting: (() => void)[] = [];
    const tenth = Promise.withResolvers<void>();
    const server = createServer((_, response) => {
      waiting.push(() => response.end("[]"));
      if (waiting.length === 10) tenth.resolve();
    });
    let connections = 0;
    server.on("connection", () => (connections += 1));
    const transport = httpTransport({ url: await listen(server), key: "key" });
    let answered = 0;
    const calls = Array.from({ length: 25 }, () =>
      transport.call("loom_verify", {}).then(() => (answered += 1)),
    );
    await tenth.promise;
    while (answered < 25) {
      for (const answer of waiting.splice(0)) answer();
      await new Promise(setImmediate);
    }
    await Promise.all(calls);
    expect(connections).toBe(10);
  });

  test("that no call gets in time is a timeout too", async () => {
    const url = await serve(() => {});
    const transport = httpTransport({ url, key: "key", timeoutMs: 100 });
    const calls = Array.from({ length: 12 }, () => transport.call("loom_verify", {}));
    const errors = await Promise.allSettled(calls);
    expect(errors.map((each) => each.status === "rejected" && each.reason.reason)).toEqual(
      Array(12).fill("timeout"),
    );
  });

  test("is replaced after its server closed it between two calls", async () => {
    const closed = Promise.withResolvers<void>();
    const url = await serveSocket((socket, count) => {
      socket.write(OK);
      if (count === 1) {
        // As a proxy that keeps no idle connection. This side sees the end of both directions.
        socket.end();
        socket.once("close", () => closed.resolve());
      }
    });
    const transport = httpTransport({ url, key: "key" });
    expect(await transport.call("loom_verify", {})).toEqual([]);
    await closed.promise;
    expect(await transport.call("loom_verify", {})).toEqual([]);
  });

  test("is not used for as long as its server says, but a second less", async () => {
    let connections = 0;
    const server = createServer((_, response) => {
      response.setHeader("keep-alive", "timeout=1").end("[]");
    }).on("connection", () => (connections += 1));
    const transport = httpTransport({ url: await listen(server), key: "key" });
    for (let count = 0; count < 3; count += 1) await transport.call("loom_verify", {});
    expect(connections).toBe(3);
  });

  test("that its server closes while a call is on its way fails that call, which is sent once", async () => {
    let requests = 0;
    const url = await serveSocket((socket, count) => {
      requests = count;
      if (count === 2) socket.resetAndDestroy();
      else socket.write(OK);
    });
    const transport = httpTransport({ url, key: "key" });
    await transport.call("loom_verify", {});
    await expect(transport.call("loom_start_run", {})).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
      reason: "network",
    });
    expect(requests).toBe(2);
    expect(await transport.call("loom_verify", {})).toEqual([]);
  });

  test("that is silent is given up, and the other kept ones with it", async () => {
    let isAway = false;
    const old = new Set<Socket>();
    const server = createServer((request, response) => {
      if (!isAway) old.add(request.socket);
      // The network forgot the connections from before.
      else if (old.has(request.socket)) return;
      response.end("[]");
    });
    const transport = httpTransport({ url: await listen(server), key: "key", timeoutMs: 200 });
    await Promise.all([1, 2, 3].map(() => transport.call("loom_verify", {})));
    isAway = true;
    await expect(transport.call("loom_verify", {})).rejects.toMatchObject({ reason: "timeout" });
    expect(await transport.call("loom_verify", {})).toEqual([]);
  });

  test.for([
    { title: "before the status", sent: "" },
    { title: "in the headers", sent: "HTTP/1.1 200 OK\r\ncontent-" },
    { title: "in the body", sent: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1, 2" },
    {
      title: "in a chunk",
      sent: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n[1, 2",
    },
    {
      title: "between chunks",
      sent: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n",
    },
    { title: "in something else than HTTP", sent: "SSH-2.0-OpenSSH_9.2\r\n" },
  ])("that breaks $title is an answer that did not come", async ({ sent }) => {
    const url = await serveSocket((socket) => socket.end(sent));
    await expect(call(url)).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE", reason: "network" });
  });

  test("that stays silent in the middle of an answer is a timeout", async () => {
    const url = await serveSocket((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[1, 2");
    });
    await expect(call(url, 100)).rejects.toMatchObject({ reason: "timeout" });
  });
});

describe("an answer", () => {
  test.for([301, 302, 303, 307, 308])("that redirects (%i) takes no key along", async (status) => {
    let asked = 0;
    const other = await serve((_, response) => {
      asked += 1;
      response.end("[]");
    });
    const url = await serve((_, response) => {
      response.writeHead(status, { location: `${other}/login?back=1` }).end();
    });
    await expect(call(url)).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
      message: expect.stringContaining(`HTTP ${status}: a redirect to ${other};`),
      advice: expect.stringContaining("set SUPABASE_URL"),
    });
    expect(asked).toBe(0);
  });

  test("may be compressed", async () => {
    const url = await serve((request, response) => {
      expect(request.headers["accept-encoding"]).toBe("gzip");
      response.setHeader("content-encoding", "gzip").end(gzipSync('[{"é":1}]'));
    });
    expect(await call(url)).toEqual([{ é: 1 }]);
  });

  test.for([
    {
      title: "is no gzip although it says so",
      encoding: "gzip",
      body: () => Buffer.from("[]"),
      message: /unreadable gzip/,
    },
    {
      title: "unpacks to more than 64 MiB",
      encoding: "gzip",
      body: () => gzipSync(Buffer.alloc(70e6)),
      message: /larger than 67108864 bytes/,
    },
    {
      title: "has more than 64 MiB",
      encoding: "identity",
      body: () => Buffer.alloc(70e6, " "),
      message: /more than 67108864 bytes/,
    },
  ])("that $title cannot be used", async ({ encoding, body, message }) => {
    const url = await serve((_, response) => {
      response.setHeader("content-encoding", encoding).end(body());
    });
    await expect(call(url)).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
      message: expect.stringMatching(message),
    });
  });

  test("counts although the server reads no more of the call", async () => {
    const url = await serveSocket((socket) => {
      socket
        .pause()
        .write("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    const transport = httpTransport({ url, key: "key" });
    await expect(
      transport.call("loom_verify", { p_text: "x".repeat(20_000_000) }),
    ).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("a host", () => {
  test("whose name has no address is an error that says what to do", async () => {
    const lookup = vi.spyOn(dns, "lookup").mockImplementation(((
      _host: string,
      _options: unknown,
      done: (error: Error) => void,
    ) => {
      done(Object.assign(new Error("getaddrinfo ENOTFOUND a.invalid"), { code: "ENOTFOUND" }));
    }) as never);
    onTestFinished(() => lookup.mockRestore());
    await expect(call("http://a.invalid")).rejects.toMatchObject({
      reason: "network",
      advice: expect.stringMatching(/SUPABASE_URL/),
    });
  });

  test("speaks TLS, with a certificate that this machine trusts", async () => {
    const server = createTlsServer({ key: KEY, cert: CERTIFICATE }, (_, response) => {
      response.end("[]");
    });
    const url = (await listen(server)).replace("http:", "https:");
    await expect(call(url)).rejects.toMatchObject({
      reason: "network",
      message: expect.stringContaining("self-signed certificate"),
    });
    const trusted = tls.getCACertificates();
    tls.setDefaultCACertificates([CERTIFICATE]);
    onTestFinished(() => tls.setDefaultCACertificates(trusted));
    expect(await call(url)).toEqual([]);
  });
});

/** For 127.0.0.1, made for this test; nothing trusts it. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiyPOTn/O1geaho96
rfRuj/qjvs3rhnCajPTnkOYXWJShRANCAARcuDQJO40tXq4+FBc0RG97Su5+AzQD
LghNSXA3Mqw1FhX0vbZb74RPzjsMZ48Gz/eHpFcSd2RA0rYftwOOMQUf
-----END PRIVATE KEY-----`;

const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUPtkjWNxMc8dSBUuig6zlewNuNYwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDEzNDYwN1oYDzIxMjYxMTA2
MTM0NjA3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARcuDQJO40tXq4+FBc0RG97Su5+AzQDLghNSXA3Mqw1FhX0vbZb74RP
zjsMZ48Gz/eHpFcSd2RA0rYftwOOMQUfo2QwYjAdBgNVHQ4EFgQU6X6FVnOz3IDG
6cv/GOYVy3n9Qp0wHwYDVR0jBBgwFoAU6X6FVnOz3IDG6cv/GOYVy3n9Qp0wDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IQCuLvJ/qt1/pcW3PUohF8DZR6xzDbBbHpo+guUBD0aCegIga5FYedfGqj8PwNJX
GDbfatxbnX/pQpedD923pjgAxno=
-----END CERTIFICATE-----`;

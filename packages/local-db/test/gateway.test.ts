import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type RequestListener, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { startGateway } from "../src/rest/gateway.ts";

/** Starts a gateway in front of a test server that stands for PostgREST. */
async function gatewayTo(listener: RequestListener) {
  const socketPath = join(tmpdir(), `loom-gateway-${process.pid}.sock`);
  const server = createServer(listener).listen(socketPath);
  await once(server, "listening");
  const gateway = await startGateway(socketPath);
  onTestFinished(async () => {
    await gateway.stop();
    server.close();
    server.closeAllConnections();
    rmSync(socketPath, { force: true });
  });
  return { url: gateway.url, server };
}

describe("gateway", () => {
  test.for([
    { path: "/rest/v1", upstream: "/" },
    { path: "/rest/v1/", upstream: "/" },
    { path: "/rest/v1?select=a", upstream: "/?select=a" },
    { path: "/rest/v1/jobs?id=eq.1", upstream: "/jobs?id=eq.1" },
  ])("serves $path from $upstream", async ({ path, upstream }) => {
    const { url } = await gatewayTo((incoming, answer) => {
      void text(incoming).then((body) => {
        answer.writeHead(201, { "content-range": "0-1/2" });
        answer.end(`${incoming.method} ${incoming.url} ${incoming.headers.authorization} ${body}`);
      });
    });

    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: "Bearer key" },
      body: "body",
    });

    expect(response.status).toBe(201);
    expect(response.headers.get("content-range")).toBe("0-1/2");
    expect(await response.text()).toBe(`POST ${upstream} Bearer key body`);
  });

  test.for(["/", "/rest/v10", "/auth/v1/user"])("answers 404 at %s", async (path) => {
    const { url } = await gatewayTo((_, answer) => answer.end("reached"));

    const response = await fetch(url + path);

    expect(response.status).toBe(404);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
  });

  test("answers 502 with a problem document while PostgREST is away", async () => {
    const { url, server } = await gatewayTo((_, answer) => answer.end("reached"));
    server.close();
    server.closeAllConnections();

    const response = await fetch(`${url}/rest/v1/jobs`);

    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ status: 502, title: "Bad Gateway" });
  });

  test("aborts its answer when PostgREST aborts in the middle of one", async () => {
    const { url } = await gatewayTo((_, answer) => {
      answer.writeHead(200, { "content-length": "100" });
      answer.write("half", () => answer.destroy());
    });

    const response = await fetch(`${url}/rest/v1/jobs`);

    await expect(response.text()).rejects.toThrow();
  });

  test("gives up on PostgREST when the client goes away", async () => {
    let upstreamClosed: Promise<unknown> | undefined;
    let reached = () => {};
    const isReached = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const { url } = await gatewayTo((incoming) => {
      upstreamClosed = once(incoming.socket, "close");
      reached();
    });
    const client = request(`${url}/rest/v1/jobs`).on("error", () => {});
    client.end();
    await isReached;

    client.destroy();

    await upstreamClosed;
  });

  test("reuses its connections", async () => {
    const { url, server } = await gatewayTo((_, answer) => answer.end("reached"));
    let connections = 0;
    server.on("connection", () => {
      connections += 1;
    });

    for (let call = 0; call < 20; call += 1) await (await fetch(`${url}/rest/v1/jobs`)).text();

    expect(connections).toBe(1);
  });
});

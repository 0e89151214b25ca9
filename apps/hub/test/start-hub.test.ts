import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { type RunningHub, type StartOptions, startHub } from "@loom/hub";
import { type Queue, QueueAccessError, QueueUnavailableError } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import { createInlinePlanner, createInlineRunner } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { type Body, collectLog, TOKEN, test, workflows } from "./fixtures.ts";

const LEASE_MS = 3_000;

/** A hub on a port of its own, stopped at the end of the test at the latest. */
async function start(queue: Queue, options: Partial<StartOptions> = {}) {
  const stop = new AbortController();
  const { lines, log } = collectLog();
  const hub = await startHub(
    {
      queue,
      planner: createInlinePlanner(workflows),
      runner: createInlineRunner(workflows),
      log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name: "oracle", leaseMs: LEASE_MS },
      ...options,
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await hub.done.catch(() => {});
  });
  return { ...hub, stop, lines };
}

async function call(hub: RunningHub, method: string, path: string, signal?: AbortSignal) {
  const answer = await fetch(`${hub.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}` },
    ...(signal && { signal }),
  });
  return { status: answer.status, body: (await answer.json()) as Body };
}

/** What a raw request gets: status line, headers and body in one text. */
async function sendRaw({ url }: RunningHub, lines: string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write([...lines, "Connection: close", "", ""].join("\r\n"));
  return text(socket);
}

/** The queue, with some of its methods replaced. */
const withMethods = (queue: Queue, methods: Partial<Queue>): Queue => ({ ...queue, ...methods });

describe("startHub", () => {
  test("on the tailnet answers at its address and to its full name, beside loopback", async ({
    queue,
  }) => {
    const self = { fqdn: "pi.tail1234.ts.net", addresses: ["127.0.0.9"], ip: "127.0.0.9" };
    const resolver = { self: async () => self } as unknown as Resolver;
    const bind = ["127.0.0.1", "tailnet"];
    const hub = await start(queue, { bind, resolver, wakeServer: "off" });
    const named = "listening on the tailnet";
    await expect.poll(() => hub.lines.find(({ msg }) => msg === named)).toBeDefined();
    const { port } = new URL(hub.url);
    expect(hub.url).toBe(`http://127.0.0.1:${port}`);
    expect(hub.lines.find(({ msg }) => msg === named)).toMatchObject({
      url: `http://pi.tail1234.ts.net:${port}`,
    });
    const status = async (host: string) =>
      (
        await sendRaw({ ...hub, url: `http://127.0.0.9:${port}` }, [
          "GET /healthz HTTP/1.1",
          `Host: ${host}`,
        ])
      ).split(" ", 2)[1];
    expect(await status("pi.tail1234.ts.net")).toBe("200");
    expect(await status("nas.tail1234.ts.net")).toBe("421");
  });

  test("serves, places and runs a step on its own node", async ({ queue, database }) => {
    const hub = await start(queue);
    const { status, body } = await call(hub, "POST", "/api/loom/strands/hello/run");
    expect(status).toBe(202);
    await expect
      .poll(async () => (await call(hub, "GET", `/api/loom/runs/${body.runId}`)).body)
      .toMatchObject({
        status: "succeeded",
        steps: [{ step: "greet", host: "oracle", result: { greetedBy: "oracle" } }],
      });
    expect((await call(hub, "GET", "/api/loom/nodes")).body).toMatchObject({
      data: [
        {
          name: "oracle",
          online: true,
          agentVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
          capabilities: expect.arrayContaining(["loom-hub", "workflow:hello", "workflow:train"]),
        },
      ],
    });
    expect(await database.sql`select lease_ms from public.loom_node_sessions`).toEqual([
      { lease_ms: LEASE_MS },
    ]);
  });

  test("lets in nobody without its token, not even from this machine", async ({ queue }) => {
    const { url } = await start(queue);
    expect((await fetch(`${url}/api/loom/nodes`)).status).toBe(401);
  });

  // Without a wake-up, each of these waits for the next round, which comes after 1 s or later.
  test.for([
    { title: "a run is started", workflow: "hello", runs: 5 },
    { title: "a step is over", workflow: "chain", runs: 1 },
    { title: "a run starts with a step that is pinned to it", workflow: "pinned", runs: 2 },
  ])("looks at once when $title", async ({ workflow, runs }, { queue }) => {
    const hub = await start(queue);
    const startedAt = performance.now();
    for (let count = 0; count < runs; count += 1) {
      const { body } = await call(hub, "POST", `/api/loom/strands/${workflow}/run`);
      await expect
        .poll(async () => (await queue.getRun(String(body.runId))).status)
        .toBe("succeeded");
    }
    expect(performance.now() - startedAt).toBeLessThan(3_500);
  });

  test("leaves nothing behind when its signal aborts", async ({ queue }) => {
    const hub = await start(queue);
    expect((await call(hub, "GET", "/healthz")).status).toBe(200);
    hub.stop.abort();
    await expect(hub.done).resolves.toBeUndefined();
    await expect(fetch(`${hub.url}/healthz`)).rejects.toMatchObject({
      cause: { code: "ECONNREFUSED" },
    });
    const port = Number(new URL(hub.url).port);
    const next = await start(queue, { port });
    expect(next.url).toBe(hub.url);
  });

  test("stops at once when its signal has aborted before", async ({ queue }) => {
    const { log } = collectLog();
    const runner = createInlineRunner(workflows);
    const planner = createInlinePlanner(workflows);
    const options = { queue, planner, runner, log, token: TOKEN, bind: "127.0.0.1", port: 0 };
    const hub = await startHub(
      { ...options, node: { name: "oracle" } },
      { signal: AbortSignal.abort() },
    );
    await hub.done;
    await expect(fetch(hub.url)).rejects.toThrow();
  });

  test("answers what it was asked before it stopped, and nothing after", async ({ queue }) => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const hub = await start(
      withMethods(queue, {
        async listNodes() {
          asked.resolve();
          await answer.promise;
          return [];
        },
      }),
    );
    const early = call(hub, "GET", "/api/loom/nodes");
    await asked.promise;
    hub.stop.abort();
    await expect(fetch(`${hub.url}/healthz`)).rejects.toThrow();
    answer.resolve();
    expect(await early).toEqual({ status: 200, body: { data: [] } });
    await hub.done;
  });

  test.for<keyof Queue>(["round", "hello"])(
    "ends as a whole, for the reason that ended a part: %s",
    async (method, { queue }) => {
      const refused = new QueueAccessError(method, "no");
      const hub = await start(withMethods(queue, { [method]: () => Promise.reject(refused) }));
      await expect(hub.done).rejects.toBe(refused);
      await expect(fetch(hub.url)).rejects.toThrow();
    },
  );

  test("answers 503 while the database is away, and goes on by itself afterwards", async ({
    queue,
  }) => {
    let isAway = false;
    const shaky = new Proxy(queue, {
      get(target, name: keyof Queue) {
        const method = target[name] as (...args: unknown[]) => unknown;
        return async (...args: unknown[]) => {
          if (isAway) throw new QueueUnavailableError(name, "network", "refused");
          return method(...args);
        };
      },
    });
    const hub = await start(shaky);
    const ofLoops = (message: string) =>
      new Set(hub.lines.filter(({ msg }) => msg === message).map(({ loop }) => loop));
    await expect.poll(() => ofLoops("leading").size).toBe(1);
    isAway = true;
    await expect.poll(() => [...ofLoops("the database did not answer")]).toContain("round");
    const refused = await fetch(`${hub.url}/api/loom/nodes`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);

    isAway = false;
    await expect.poll(() => [...ofLoops("the database answers again")]).toContain("round");
    const { body } = await call(hub, "POST", "/api/loom/strands/hello/run");
    await expect
      .poll(async () => (await queue.getRun(String(body.runId))).status)
      .toBe("succeeded");
  });

  test("ends when another hub takes over its node's name", async ({ queue }) => {
    const first = await start(queue);
    await expect.poll(() => queue.listNodes()).toMatchObject([{ online: true }]);
    const second = await start(queue);
    await expect(first.done).rejects.toMatchObject({ code: "SUPERSEDED", node: "oracle" });
    expect((await call(second, "GET", "/healthz")).status).toBe(200);
  });

  test("says which port it cannot have, and how to give it another", async ({ queue }) => {
    const taken = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void taken.close());
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    await expect(start(queue, { port })).rejects.toMatchObject({
      code: "LISTEN",
      port,
      message: expect.stringMatching(new RegExp(`port ${port} of 127.0.0.1: .*set PORT`)),
    });
    await expect(start(queue, { bind: "203.0.113.1" })).rejects.toMatchObject({
      code: "LISTEN",
      message: expect.stringContaining("LOOM_BIND"),
    });
  });

  test("names its address so that it can be opened, also on IPv6", async ({ queue }) => {
    const hub = await start(queue, { bind: "::1" });
    expect(hub.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await call(hub, "GET", "/healthz")).status).toBe(200);
  });
});

describe("the port", () => {
  const HOST = "Host: localhost";
  test.for([
    { title: "a host that cannot be one", lines: ["GET / HTTP/1.1", "Host: a b"], status: 400 },
    { title: "a path that cannot be one", lines: ["GET /\\api HTTP/1.1", HOST], status: 400 },
    { title: "no path", lines: ["OPTIONS * HTTP/1.1", HOST], status: 400 },
    { title: "no host", lines: ["GET / HTTP/1.1"], status: 400 },
    { title: "a path without end", lines: [`GET /${"x".repeat(20_000)} HTTP/1.1`], status: 431 },
    { title: "another protocol", lines: ["EHLO loom.example"], status: 400 },
    {
      title: "two lengths",
      lines: ["POST / HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 2"],
      status: 400,
    },
  ])("answers $title with a problem", async ({ lines, status }, { queue }) => {
    const answer = await sendRaw(await start(queue), lines);
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(answer.toLowerCase()).toContain("content-type: application/problem+json");
    expect(answer).toContain('"code":"MALFORMED_REQUEST"');
  });

  test.for([
    { title: "too much", body: "x".repeat(2 * 1024 * 1024), type: "application/json", status: 413 },
    { title: "text", body: "{}", type: "text/plain", status: 415 },
    { title: "something of no type", body: "{}", type: undefined, status: 415 },
    { title: "half a document", body: "{", type: "application/json", status: 400 },
    { title: "a document", body: "{}", type: "application/json", status: 202 },
    { title: "nothing", body: "", type: undefined, status: 202 },
  ])(
    "answers $status to $title that is sent in chunks",
    async ({ body, type, status }, { queue, countRows }) => {
      const { url } = await start(queue);
      const client = request(`${url}/api/loom/strands/hello/run`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${TOKEN}`,
          "transfer-encoding": "chunked",
          ...(type && { "content-type": type }),
        },
      });
      // The hub may hang up before it has read what it refuses.
      client.on("error", () => {});
      client.end(body);
      const [answer] = await once(client, "response");
      answer.resume();
      expect(answer.statusCode).toBe(status);
      expect(await countRows()).toMatchObject({ runs: status === 202 ? 1 : 0 });
    },
  );
});

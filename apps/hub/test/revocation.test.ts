import { createHub, type HubParts } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect, onTestFinished, vi } from "vitest";
import { serve } from "../src/listen/serve.ts";
import { test as base, TOKEN } from "./fixtures.ts";
import { openStream } from "./sse.ts";

const log = pino({ level: "silent" });

interface Hub {
  url: string;
  call: (
    method: string,
    path: string,
    who?: { token?: string; cookie?: string; body?: unknown },
    more?: Record<string, string>,
  ) => Promise<{
    status: number;
    headers: Headers;
    setCookie: string;
    cookie: string;
    body: Record<string, unknown>;
  }>;
}

/** Hubs on ports, over one database. */
const test = base.extend("startHub", ({ queue }, { onCleanup }) => {
  const stops: (() => Promise<void>)[] = [];
  onCleanup(async () => {
    for (const stop of stops) await stop();
  });
  return async (options: Partial<HubParts> = {}): Promise<Hub> => {
    const stopping = new AbortController();
    const app = createHub({
      queue,
      planner: createInlinePlanner([]),
      log,
      token: TOKEN,
      stopping: stopping.signal,
      ...options,
    });
    const server = await serve(app.fetch, { bind: "127.0.0.1", port: 0, log });
    stops.push(async () => {
      stopping.abort();
      await server.close();
    });
    const call = async (
      method: string,
      path: string,
      { token, cookie, body }: { token?: string; cookie?: string; body?: unknown } = {},
      more: Record<string, string> = {},
    ) => {
      const answer = await fetch(`${server.url}/api/loom${path}`, {
        method,
        headers: {
          ...(token && { authorization: `Bearer ${token}` }),
          ...(cookie && { cookie, "sec-fetch-site": "same-origin" }),
          ...(body !== undefined && { "content-type": "application/json" }),
          ...more,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      const setCookie = answer.headers.get("set-cookie") ?? "";
      return {
        status: answer.status,
        headers: answer.headers,
        setCookie,
        cookie: setCookie.split(";", 1)[0] ?? "",
        body: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>,
      };
    };
    return { url: server.url, call };
  };
});

async function makeToken(hub: Hub, name: string, scopes = ["read"]) {
  const { body } = await hub.call("POST", "/tokens", { token: TOKEN, body: { name, scopes } });
  return { id: String(body.id), token: String(body.token) };
}

const listen = (hub: Hub, headers: Record<string, string>) =>
  openStream(`${hub.url}/api/loom/events`, headers);

/** Resolves when the hub has ended a stream. */
async function ended(stream: Awaited<ReturnType<typeof openStream>>): Promise<number> {
  const startedAt = performance.now();
  // A connection that is cut is an end, too.
  while (await stream.next().catch(() => undefined));
  return performance.now() - startedAt;
}

describe("revoking a token", () => {
  test("ends the sessions opened with it, and those opened with them, and every stream", async ({
    startHub,
    queue,
  }) => {
    const hub = await startHub();
    const ada = await makeToken(hub, "ada");
    const other = await makeToken(hub, "other");
    const first = await hub.call("POST", "/session", { token: ada.token });
    const second = await hub.call("POST", "/session", { cookie: first.cookie });
    expect(second).toMatchObject({ status: 201, body: { who: "session of token ada" } });
    const sessions = await hub.call("GET", "/tokens/sessions", { token: TOKEN });
    expect(sessions.body.data).toMatchObject([{ token: "ada" }, { token: "ada" }]);

    const streams = [
      await listen(hub, { authorization: `Bearer ${ada.token}` }),
      await listen(hub, { cookie: first.cookie }),
      await listen(hub, { cookie: second.cookie }),
    ];
    const kept = await listen(hub, { authorization: `Bearer ${other.token}` });
    await hub.call("DELETE", `/tokens/${ada.id}`, { token: TOKEN });
    // The next check of the listeners would come seconds later.
    for (const stream of streams) expect(await ended(stream)).toBeLessThan(2_000);
    for (const { cookie } of [first, second]) {
      expect((await hub.call("GET", "/runs", { cookie })).status).toBe(401);
    }
    expect((await hub.call("GET", "/tokens/sessions", { token: TOKEN })).body.data).toEqual([]);
    // Nobody else's stream has ended.
    await queue.pauseWorkflow("later");
    await kept.until("workflow.paused");
    kept.hangUp();
  });

  test("ends its streams on other hubs within ten seconds", { timeout: 20_000 }, async ({
    startHub,
  }) => {
    const [here, there] = [await startHub(), await startHub()];
    const ada = await makeToken(here, "ada");
    const stream = await listen(there, { authorization: `Bearer ${ada.token}` });
    expect(stream.answer.status).toBe(200);
    await here.call("DELETE", `/tokens/${ada.id}`, { token: TOKEN });
    expect(await ended(stream)).toBeLessThan(10_000);
    expect((await there.call("GET", "/runs", { token: ada.token })).status).toBe(401);
  });

  test("ends one session where one is revoked, and what was opened with it", async ({
    startHub,
  }) => {
    const hub = await startHub();
    const ada = await makeToken(hub, "ada");
    const kept = await hub.call("POST", "/session", { token: ada.token });
    const gone = await hub.call("POST", "/session", { token: ada.token });
    const below = await hub.call("POST", "/session", { cookie: gone.cookie });
    await hub.call("DELETE", "/session", { cookie: gone.cookie });
    expect((await hub.call("GET", "/session", { cookie: below.cookie })).status).toBe(401);
    expect((await hub.call("GET", "/session", { cookie: kept.cookie })).status).toBe(200);
  });
});

describe("a session of the hub's own token", () => {
  test("is over when that token is another one, and is listed no more", async ({ startHub }) => {
    const before = await startHub({ token: "the-first-token" });
    const opened = await before.call("POST", "/session", { token: "the-first-token" });
    expect((await before.call("GET", "/runs", { cookie: opened.cookie })).status).toBe(200);
    const secret = opened.cookie.split("=")[1] ?? "";

    const after = await startHub({ token: "the-second-token" });
    const fresh = await after.call("POST", "/session", { token: "the-second-token" });
    const [name = ""] = fresh.cookie.split("=");
    expect((await after.call("GET", "/runs", { cookie: fresh.cookie })).status).toBe(200);
    expect((await after.call("GET", "/runs", { cookie: `${name}=${secret}` })).status).toBe(401);
    const listed = await after.call("GET", "/tokens/sessions", { token: "the-second-token" });
    expect(listed.body.data).toMatchObject([{ token: null }]);
  });

  test("is not opened by who has no token", async ({ startHub }) => {
    const hub = await startHub({ token: undefined });
    expect(await hub.call("POST", "/session")).toMatchObject({
      status: 422,
      body: { code: "NO_TOKEN" },
    });
  });

  test("has a name by database and port, so that two hubs of a machine do not share it", async ({
    startHub,
  }) => {
    const [one, two] = [await startHub(), await startHub()];
    const names = [];
    for (const hub of [one, two, one]) {
      const { cookie } = await hub.call("POST", "/session", { token: TOKEN });
      names.push(cookie.split("=")[0]);
    }
    expect(names[0]).toMatch(/^loom_session_[0-9a-f]{12}$/);
    expect(names[1]).not.toBe(names[0]);
    expect(names[2]).toBe(names[0]);
  });

  test("is for TLS alone where the browser speaks it, by the word of a proxy of this machine", async ({
    startHub,
  }) => {
    const hub = await startHub();
    const open = (more: Record<string, string>) =>
      hub.call("POST", "/session", { token: TOKEN }, more);
    expect((await open({})).setCookie).not.toMatch(/Secure/);
    expect((await open({ "x-forwarded-proto": "https" })).setCookie).toMatch(/; Secure/);
    expect((await open({ "x-forwarded-proto": "http" })).setCookie).not.toMatch(/Secure/);
  });
});

describe("a limit", () => {
  test("counts a token, whatever sessions are opened with it", async ({ startHub }) => {
    const hub = await startHub({ rateLimit: { burst: 6, perSecond: 0.001 } });
    const ada = await makeToken(hub, "ada");
    const statuses: number[] = [];
    for (let n = 0; n < 4; n += 1) {
      const { status, cookie } = await hub.call("POST", "/session", { token: ada.token });
      statuses.push(status, (await hub.call("GET", "/session", { cookie })).status);
    }
    // The first lookup of each is the address's, which six are left of, too.
    expect(statuses.filter((status) => status < 300).length).toBeLessThanOrEqual(6);
    expect(statuses.at(-1)).not.toBe(200);
  });

  test("of streams is each token's own: one cannot take them all", async ({ startHub }) => {
    const hub = await startHub({ maxStreams: 5, maxStreamsEach: 3 });
    const ada = await makeToken(hub, "ada");
    const { cookie } = await hub.call("POST", "/session", { token: ada.token });
    const as = { authorization: `Bearer ${ada.token}` };
    const open = [await listen(hub, as), await listen(hub, { cookie }), await listen(hub, as)];
    for (const { answer } of open) expect(answer.status).toBe(200);
    const fourth = await listen(hub, { cookie });
    expect(fourth.answer.status).toBe(429);
    expect(fourth.answer.headers.get("retry-after")).toBe("2");
    const another = await listen(hub, { authorization: `Bearer ${TOKEN}` });
    expect(another.answer.status).toBe(200);
    for (const stream of [...open, another]) stream.hangUp();
  });

  test("refuses wrong tokens before the database is asked for them, and nobody who is known", async ({
    startHub,
    queue,
  }) => {
    const findToken = vi.fn<Queue["findToken"]>((digest) => queue.findToken(digest));
    const counted: Queue = { ...queue, findToken };
    const hub = await startHub({ queue: counted, rateLimit: { burst: 20, perSecond: 0.001 } });
    const ada = await makeToken(hub, "ada");
    expect((await hub.call("GET", "/session", { token: ada.token })).status).toBe(200);
    findToken.mockClear();
    const wrong = Array.from({ length: 200 }, (_, n) => `loom_${String(n).padStart(43, "A")}`);
    const statuses = await Promise.all(
      wrong.map(async (token) => (await hub.call("GET", "/session", { token })).status),
    );
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(180);
    expect(findToken.mock.calls.length).toBeLessThanOrEqual(20);
    expect((await hub.call("GET", "/session", { token: ada.token })).status).toBe(200);
  });
});

describe("every answer of the API", () => {
  test.for([
    ["GET", "/runs"],
    ["GET", "/runs/nope"],
    ["GET", "/nothing"],
    ["PUT", "/runs"],
    ["GET", "/events"],
    ["POST", "/session"],
  ] as const)(
    "is kept nowhere, and is what it declares to be: %s %s",
    async ([method, path], { startHub }) => {
      const hub = await startHub();
      for (const token of [TOKEN, "wrong"]) {
        const hangUp = new AbortController();
        onTestFinished(() => hangUp.abort());
        const { headers } = await fetch(`${hub.url}/api/loom${path}`, {
          method,
          headers: { authorization: `Bearer ${token}` },
          signal: hangUp.signal,
        });
        expect(headers.get("x-content-type-options")).toBe("nosniff");
        expect(headers.get("cache-control")).toBe("no-store");
      }
    },
  );
});

import { createHub } from "@loom/hub";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { TOKEN, test } from "./fixtures.ts";

const READS = ["/strands", "/runs", "/jobs", "/nodes", "/strands/hello", "/session"];

describe("a token", () => {
  test("may do what its scopes say, and nothing else", async ({ call }) => {
    const made = await call("POST", "/tokens", {
      name: "ci",
      scopes: ["read", "run"],
      expiresInDays: 1,
    });
    expect(made).toMatchObject({ status: 201, body: { name: "ci", createdBy: "bootstrap token" } });
    expect(made.headers.get("cache-control")).toBe("no-store");
    const as = { authorization: `Bearer ${made.body.token}` };
    for (const path of READS) expect((await call("GET", path, undefined, as)).status).toBe(200);
    const started = await call("POST", "/strands/hello/run", {}, as);
    expect(started.status).toBe(202);
    expect((await call("GET", `/runs/${started.body.runId}`)).body).toMatchObject({
      askedBy: "token ci",
    });
    for (const [method, path] of [
      ["POST", "/strands/hello/pause"],
      ["GET", "/audit"],
      ["GET", "/tokens"],
      ["POST", "/tokens"],
      ["DELETE", `/tokens/${made.body.id}`],
    ] as const) {
      expect(await call(method, path, undefined, as)).toMatchObject({
        status: 403,
        body: { code: "SCOPE_MISSING" },
      });
    }
    const { data } = (await call("GET", "/tokens")).body as { data: Record<string, unknown>[] };
    expect(data).toMatchObject([{ name: "ci", lastUsedAt: expect.any(String), revokedAt: null }]);
    expect(JSON.stringify(data)).not.toContain(made.body.token);
  });

  test("is invalid from the moment it is revoked", async ({ call }) => {
    const { body } = await call("POST", "/tokens", { name: "ci", scopes: ["read"] });
    const as = { authorization: `Bearer ${body.token}` };
    expect((await call("GET", "/runs", undefined, as)).status).toBe(200);
    expect(await call("POST", "/tokens", { name: "ci", scopes: ["read"] })).toMatchObject({
      status: 409,
      body: { code: "TOKEN_NAME_TAKEN" },
    });
    expect((await call("DELETE", `/tokens/${body.id}`)).status).toBe(200);
    expect((await call("GET", "/runs", undefined, as)).status).toBe(401);
    expect((await call("DELETE", "/tokens/nope")).status).toBe(404);
  });

  test.for([
    { scopes: ["read"] },
    { name: "ci", scopes: [] },
    { name: "ci", scopes: ["root"] },
    { name: "", scopes: ["read"] },
    { name: "a\u0000b", scopes: ["read"] },
    { name: "ci", scopes: ["read"], expiresInDays: 0 },
    { name: "ci", scopes: ["read"], token: "mine" },
  ])("is not made of %j", async (body, { call }) => {
    expect((await call("POST", "/tokens", body)).status).toBe(422);
    expect((await call("GET", "/tokens")).body).toEqual({ data: [] });
  });
});

describe("a session", () => {
  test("stands for the token that opened it, in the hub's own pages", async ({ app, call }) => {
    const { body } = await call("POST", "/tokens", { name: "ada", scopes: ["read", "run"] });
    const opened = await app.request("/api/loom/session", {
      method: "POST",
      headers: { authorization: `Bearer ${body.token}`, "sec-fetch-site": "same-origin" },
    });
    expect(opened.status).toBe(201);
    const header = opened.headers.get("set-cookie") ?? "";
    expect(header).toMatch(
      /^loom_session_[0-9a-f]{12}=loom_[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(header).not.toContain(body.token);
    const [cookie = ""] = header.split(";", 1);

    const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
      app.request(`/api/loom${path}`, { method, headers: { cookie, ...headers } });
    const own = { "sec-fetch-site": "same-origin" };
    expect(await (await ask("GET", "/session")).json()).toMatchObject({
      who: "session of token ada",
      scopes: ["read", "run"],
    });
    expect((await ask("POST", "/strands/hello/run", own)).status).toBe(202);
    expect((await ask("POST", "/strands/hello/run")).status).toBe(403);
    expect((await ask("POST", "/strands/hello/pause", own)).status).toBe(403);

    expect((await ask("DELETE", "/session", own)).status).toBe(204);
    expect((await ask("GET", "/session")).status).toBe(401);
  });

  test("ends with its token", async ({ app, call }) => {
    const { body } = await call("POST", "/tokens", { name: "ada", scopes: ["read"] });
    const as = { authorization: `Bearer ${body.token}` };
    const opened = await call("POST", "/session", undefined, as);
    const [cookie = ""] = (opened.headers.get("set-cookie") ?? "").split(";", 1);
    expect((await app.request("/api/loom/runs", { headers: { cookie } })).status).toBe(200);
    await call("DELETE", `/tokens/${body.id}`);
    expect((await app.request("/api/loom/runs", { headers: { cookie } })).status).toBe(401);
  });

  test("is not opened by another site's page", async ({ call }) => {
    const headers = { origin: "http://evil.example" };
    expect((await call("POST", "/session", undefined, headers)).status).toBe(403);
  });
});

describe("the audit", () => {
  test("says who changed what, and from where, and nothing of what was refused", async ({
    call,
  }) => {
    const headers = { "x-request-id": "mine-1" };
    const { body } = await call("POST", "/strands/hello/run", {}, headers);
    await call("POST", `/runs/${body.runId}/retry`);
    await call("POST", "/runs/00000000-0000-0000-0000-000000000000/cancel");
    await call("POST", "/jobs/404/cancel");
    await call("POST", "/strands/hello/pause", { note: "for now" });
    expect((await call("GET", "/audit")).body).toMatchObject({
      data: [
        { who: "bootstrap token", action: "pauseStrand", subject: "/api/loom/strands/hello/pause" },
        {
          who: "bootstrap token",
          from: "unknown",
          action: "startRun",
          subject: "/api/loom/strands/hello/run",
          id: "mine-1",
          answer: expect.stringContaining(String(body.runId)),
        },
      ],
      next: null,
    });
  });

  test("never holds a token", async ({ call, database }) => {
    const { body } = await call("POST", "/tokens", { name: "ci", scopes: ["read"] });
    const rows = await database.sql<{ text: string }[]>`
      select concat(e, t) as text from public.loom_events as e, public.loom_tokens as t`;
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toContain(String(body.token).slice(5));
  });
});

describe("a hub", () => {
  test.for([
    { url: "http://127.0.0.1:3000/healthz", status: 200 },
    { url: "http://[fd7a:115c:a1e0::1]:3000/healthz", status: 200 },
    { url: "http://oracle:3000/healthz", status: 200 },
    { url: "http://ORACLE/healthz", status: 200 },
    { url: "http://oracle.evil.example/healthz", status: 421 },
    { url: "http://evil.example:3000/api/loom/runs", status: 421 },
  ])("asked as $url answers $status", async ({ url, status }, { queue }) => {
    const app = createHub({
      queue,
      planner: createInlinePlanner([]),
      log: pino({ level: "silent" }),
      token: TOKEN,
      hosts: ["oracle"],
    });
    expect((await app.request(url, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(
      status,
    );
  });

  test("answers who asks too often with when to come again", async ({ queue }) => {
    const app = createHub({
      queue,
      planner: createInlinePlanner([]),
      log: pino({ level: "silent" }),
      token: TOKEN,
      rateLimit: { burst: 2, perSecond: 1 },
    });
    const ask = (token: string) =>
      app.request("/api/loom/session", { headers: { authorization: `Bearer ${token}` } });
    const statuses = async (token: string) =>
      [await ask(token), await ask(token), await ask(token)].map(({ status }) => status);
    expect(await statuses(TOKEN)).toEqual([200, 200, 429]);
    expect(await statuses("nonsense")).toEqual([401, 401, 429]);
  });

  test("allows no other origin anything", async ({ app }) => {
    const answer = await app.request("/api/loom/runs", {
      headers: { authorization: `Bearer ${TOKEN}`, origin: "http://localhost" },
    });
    expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual(
      [],
    );
  });
});

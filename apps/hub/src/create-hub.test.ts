import { type Node, type Queue, QueueUnavailableError, RunNotFoundError } from "@loom/queue";
import { createInlinePlanner } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { createHub } from "./create-hub.ts";
import { version } from "./version.ts";

const TOKEN = "a-token-for-this-test";

const greet = defineWorkflow({
  name: "greet",
  input: z.object({ name: z.string().default("you"), host: z.string().optional() }),
}).step("hello", { host: ({ input }) => input.host }, async () => {});

/** A queue of the methods that a test needs, whoever they are called for; the others fail. */
const actingAlone = (queue: Partial<Queue>): Queue =>
  ({
    findToken: async () => null,
    listNodes: async () => [],
    withAudit: () => queue,
    ...queue,
  }) as Queue;

/** A hub over the methods that a test needs. Logged lines are collected. */
function hub(queue: Partial<Queue> = {}) {
  const lines: Record<string, unknown>[] = [];
  const app = createHub({
    queue: actingAlone(queue),
    planner: createInlinePlanner([greet]),
    log: pino({ level: "error" }, { write: (line) => lines.push(JSON.parse(line)) }),
    token: TOKEN,
  });
  const ask = (path: string, init: RequestInit = {}) =>
    app.request(path, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, ...(init.headers as Record<string, string>) },
    });
  return { app, ask, lines };
}

const json = (body: string): RequestInit => ({
  method: "POST",
  body,
  headers: { "content-type": "application/json" },
});
const RUN = "/api/loom/strands/greet/run";
const RUN_ID = "9b2f0d5e-6f0f-4c53-8f0a-6a3c8f1f4f11";

describe("createHub", () => {
  test.for<{ title: string; path: string; init?: RequestInit; status: number; code: string }>([
    {
      title: "a call without a token",
      path: RUN,
      init: { method: "POST", headers: { authorization: "" } },
      status: 401,
      code: "UNAUTHORIZED",
    },
    {
      title: "basic authorization",
      path: "/api/loom/nodes",
      init: { headers: { authorization: `Basic ${btoa(`loom:${TOKEN}`)}` } },
      status: 401,
      code: "UNAUTHORIZED",
    },
    {
      title: "a path that is not there, asked without a token",
      path: "/api/loom/nothing",
      init: { headers: { authorization: "" } },
      status: 401,
      code: "UNAUTHORIZED",
    },
    { title: "a path that is not there", path: "/api/nope", status: 404, code: "NOT_FOUND" },
    { title: "the root", path: "/", status: 404, code: "NOT_FOUND" },
    {
      title: "a workflow that is not there",
      path: "/api/loom/strands/gret/run",
      init: { method: "POST" },
      status: 404,
      code: "UNKNOWN_WORKFLOW",
    },
    {
      title: "a property that every object has, as a workflow",
      path: "/api/loom/strands/__proto__/run",
      init: { method: "POST" },
      status: 404,
      code: "UNKNOWN_WORKFLOW",
    },
    {
      title: "malformed percent-encoding",
      path: "/api/loom/strands/%E0%A4%A/run",
      init: { method: "POST" },
      status: 404,
      code: "UNKNOWN_WORKFLOW",
    },
    {
      title: "a very long name",
      path: `/api/loom/strands/${"g".repeat(8_000)}/run`,
      init: { method: "POST" },
      status: 404,
      code: "UNKNOWN_WORKFLOW",
    },
    {
      title: "GET where a run is started",
      path: RUN,
      status: 405,
      code: "METHOD_NOT_ALLOWED",
    },
    {
      title: "OPTIONS",
      path: "/api/loom/nodes",
      init: { method: "OPTIONS" },
      status: 405,
      code: "METHOD_NOT_ALLOWED",
    },
    {
      title: "PUT on what needs no token",
      path: "/healthz",
      init: { method: "PUT", headers: { authorization: "" } },
      status: 405,
      code: "METHOD_NOT_ALLOWED",
    },
    {
      title: "malformed JSON",
      path: RUN,
      init: json("{"),
      status: 400,
      code: "MALFORMED_REQUEST",
    },
    {
      title: "an empty body as JSON",
      path: RUN,
      init: json(""),
      status: 400,
      code: "MALFORMED_REQUEST",
    },
    {
      title: "text",
      path: RUN,
      init: { method: "POST", body: "{}", headers: { "content-type": "text/plain" } },
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    },
    {
      title: "a form",
      path: RUN,
      init: { method: "POST", body: new URLSearchParams({ input: "1" }) },
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    },
    {
      title: "a body of no declared type",
      path: RUN,
      init: { method: "POST", body: new TextEncoder().encode("{}") },
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    },
    {
      title: "a body above 1 MiB",
      path: RUN,
      init: json(JSON.stringify({ input: "x".repeat(1024 * 1024) })),
      status: 413,
      code: "BODY_TOO_LARGE",
    },
    { title: "an array", path: RUN, init: json("[]"), status: 422, code: "INVALID_REQUEST" },
    { title: "null", path: RUN, init: json("null"), status: 422, code: "INVALID_REQUEST" },
    {
      title: "a host that cannot be a node",
      path: RUN,
      init: json('{"input":{"host":"two words"}}'),
      status: 422,
      code: "PLAN_FAILED",
    },
  ])("answers $title with $status $code", async ({ path, init, status, code }) => {
    const { ask, lines } = hub();
    const answer = await ask(path, init);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await answer.json()).toMatchObject({ status, code, title: expect.any(String) });
    expect(answer.status).toBe(status);
    expect(lines).toEqual([]);
  });

  test.for([
    { body: { input: { name: 7 } }, path: "input.name" },
    { body: { input: null }, path: "input" },
    { body: { input: "text" }, path: "input" },
    { body: { key: "" }, path: "key" },
    { body: { key: "a\nb" }, path: "key" },
    { body: { key: "\u0000" }, path: "key" },
    { body: { key: "\ud800" }, path: "key" },
    { body: { key: "k".repeat(301) }, path: "key" },
    { body: { key: 7 }, path: "key" },
    { body: { inputs: {} }, path: "body" },
  ])("names the field that is wrong in $body", async ({ body, path }) => {
    const answer = await hub().ask(RUN, json(JSON.stringify(body)));
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({ errors: [{ path, message: expect.any(String) }] });
  });

  test("refuses an input that nests too deeply to be stored, and takes one that does not", async () => {
    const { ask } = hub({ startRun: async () => ({ runId: RUN_ID, returned: "created" }) });
    const nested = (depth: number) => `{"input":{"more":${"[".repeat(depth)}${"]".repeat(depth)}}}`;
    const tooDeep = await ask(RUN, json(nested(100_000)));
    expect(tooDeep.status).toBe(422);
    expect(await tooDeep.json()).toMatchObject({ errors: [{ path: "input" }] });
    expect((await ask(RUN, json(nested(50)))).status).toBe(202);
  });

  test("lists the methods of a path", async () => {
    const { ask } = hub();
    expect((await ask(RUN, { method: "DELETE" })).headers.get("allow")).toBe("POST");
    expect((await ask("/api/loom/nodes", { method: "POST" })).headers.get("allow")).toBe(
      "GET, HEAD",
    );
  });

  test("answers HEAD as GET, without the body", async () => {
    const { ask } = hub({ listNodes: async () => [] });
    const answer = await ask("/api/loom/nodes", { method: "HEAD" });
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
    expect((await ask(RUN, { method: "HEAD" })).status).toBe(405);
  });

  test.for<{ title: string; init: RequestInit }>([
    { title: "no body at all", init: { method: "POST" } },
    { title: "an empty object", init: json("{}") },
    {
      title: "another spelling of the type",
      init: {
        method: "POST",
        body: "{}",
        headers: { "content-type": "Application/JSON; charset=utf-8" },
      },
    },
  ])("starts a run from $title", async ({ init }) => {
    const asked: unknown[] = [];
    const { ask } = hub({
      async startRun(plan, options) {
        asked.push(plan.input, options);
        return { runId: RUN_ID, returned: "created" };
      },
    });
    const answer = await ask(RUN, init);
    const self = `/api/loom/runs/${RUN_ID}`;
    expect(answer.status).toBe(202);
    expect(answer.headers.get("location")).toBe(self);
    expect(await answer.json()).toEqual({
      runId: RUN_ID,
      returned: "created",
      links: { self, events: `${self}/events` },
      verdict: { verdict: "never", steps: [expect.objectContaining({ code: "no_nodes" })] },
    });
    expect(asked).toEqual([{ name: "you" }, { askedBy: "bootstrap token" }]);
  });

  test("says so when the run was stored, and only then", async () => {
    let isStored = false;
    let wakes = 0;
    const app = createHub({
      queue: actingAlone({
        async startRun() {
          if (!isStored) throw new QueueUnavailableError("loom_start_run", "network", "refused");
          return { runId: RUN_ID, returned: "created" } as const;
        },
      }),
      planner: createInlinePlanner([greet]),
      log: pino({ level: "silent" }),
      token: TOKEN,
      onJobsAdded: () => {
        wakes += 1;
      },
    });
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await app.request(RUN, { method: "POST", headers })).status).toBe(503);
    expect(wakes).toBe(0);
    isStored = true;
    expect((await app.request(RUN, { method: "POST", headers })).status).toBe(202);
    expect(wakes).toBe(1);
  });

  test("answers 503 with a time to come again while the database is away", async () => {
    const { ask } = hub({
      listNodes: async () => {
        throw new QueueUnavailableError("loom_list_nodes", "network", "connect 10.0.0.7 refused");
      },
    });
    const answer = await ask("/api/loom/nodes");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("2");
    expect(await answer.text()).not.toContain("10.0.0.7");
  });

  test("keeps the inside of a fault for its log, under the request's id", async () => {
    const { ask, lines } = hub({
      listNodes: async () => {
        throw new TypeError("inner detail");
      },
    });
    const answer = await ask("/api/loom/nodes", { headers: { "x-request-id": "mine-1" } });
    expect(answer.status).toBe(500);
    expect(answer.headers.get("x-request-id")).toBe("mine-1");
    expect(await answer.text()).not.toContain("inner detail");
    expect(lines).toEqual([
      expect.objectContaining({
        requestId: "mine-1",
        method: "GET",
        path: "/api/loom/nodes",
        err: expect.objectContaining({ message: "inner detail" }),
      }),
    ]);
  });

  test("answers for a run that is not there", async () => {
    const { ask } = hub({
      getRun: async (id) => {
        throw new RunNotFoundError(id);
      },
    });
    const answer = await ask("/api/loom/runs/nope");
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ code: "RUN_NOT_FOUND" });
  });

  test("shows of a node what a reader needs, and no more", async () => {
    const node: Node = {
      name: "forge",
      capabilities: ["has-gpu"],
      askedCapabilities: [],
      capabilitiesVersion: 3,
      slots: 2,
      running: 1,
      offered: 0,
      status: "active",
      statusNote: null,
      statusUntil: null,
      online: true,
      lastSeenMs: 12,
      epoch: 4,
      incarnation: RUN_ID,
      agentVersion: "1.2.3",
      upgradeOrder: null,
      tailnetAddress: null,
      wakePort: null,
      boot: null,
      facts: { cpus: 8 },
    };
    const answer = await hub({ listNodes: async () => [node] }).ask("/api/loom/nodes");
    expect(await answer.json()).toEqual({
      data: [
        {
          name: "forge",
          online: true,
          status: "active",
          statusNote: null,
          statusUntil: null,
          tailnetAddress: null,
          lastSeenMs: 12,
          capabilities: ["has-gpu"],
          slots: 2,
          running: 1,
          offered: 0,
          agentVersion: "1.2.3",
          agent: null,
          askedCapabilities: [],
          facts: { cpus: 8 },
        },
      ],
    });
  });
});

describe("/openapi.json", () => {
  test("describes every route of the API, to anybody", async () => {
    const { app } = hub();
    const answer = await app.request("/openapi.json");
    const { openapi, info, paths } = (await answer.json()) as Record<string, object>;
    expect(openapi).toBe("3.1.0");
    expect(info).toMatchObject({ version });
    const routes = app.routes
      .filter(({ method, path }) => method !== "ALL" && path.startsWith("/api/"))
      // Only loom-agent joins: docs/joining.md describes it.
      .filter(({ path }) => path !== "/api/loom/join")
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    const described = Object.entries(paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(new Set(described)).toEqual(new Set(routes));
    expect(paths).toMatchObject({
      "/api/loom/strands/{workflow}/run": {
        post: { responses: { 202: {}, 422: { content: { "application/problem+json": {} } } } },
      },
    });
  });
});

describe("/healthz and /readyz", () => {
  test("need no token", async () => {
    const { app } = hub({
      getRun: async (id) => {
        throw new RunNotFoundError(id);
      },
    });
    expect(await (await app.request("/healthz")).json()).toEqual({ status: "ok" });
    expect(await (await app.request("/readyz")).json()).toEqual({ status: "ready" });
  });

  test("ask the database at most once a second, however many want to know", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    let questions = 0;
    const { app } = hub({
      getRun: async (id) => {
        questions += 1;
        throw new RunNotFoundError(id);
      },
    });
    const askAll = () => Promise.all(Array.from({ length: 20 }, () => app.request("/readyz")));
    await askAll();
    vi.advanceTimersByTime(999);
    await askAll();
    expect(questions).toBe(1);
    vi.advanceTimersByTime(1);
    await askAll();
    expect(questions).toBe(2);
  });

  test("answer soon also while the database is frozen", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const { app } = hub({ getRun: () => new Promise(() => {}) });
    const answer = app.request("/readyz");
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await answer).status).toBe(503);
    expect(await (await answer).json()).toMatchObject({ code: "QUEUE_UNAVAILABLE" });
  });

  test("distinguish a living process from one that can serve", async () => {
    const { app } = hub({
      getRun: async () => {
        throw new QueueUnavailableError("loom_get_run", "timeout", "no answer in time");
      },
    });
    expect((await app.request("/healthz")).status).toBe(200);
    const answer = await app.request("/readyz");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.headers.get("retry-after")).toBe("2");
    expect(await answer.json()).toMatchObject({ code: "QUEUE_UNAVAILABLE" });
  });
});

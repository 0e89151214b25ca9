import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type StartOptions, startHub } from "@loom/hub";
import type { Database } from "@loom/local-db";
import type { Queue } from "@loom/queue";
import { createInlinePlanner, createInlineRunner } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { type Body, collectLog, TOKEN, test, workflows } from "./fixtures.ts";

const makeKey = () => `loomn_${randomBytes(32).toString("base64url")}`;
const digestOf = (text: string) => createHash("sha256").update(text).digest("hex");

const DIGEST = "0".repeat(64);
const UNKNOWN = `loomj_${"x".repeat(43)}`;

/** A hub to which machines can join; it is stopped at the end of the test. */
async function start(
  { queue, database }: { queue: Queue; database: Database },
  join: Partial<StartOptions["join"]> = {},
) {
  const stop = new AbortController();
  const hub = await startHub(
    {
      queue,
      planner: createInlinePlanner(workflows),
      runner: createInlineRunner(workflows),
      log: collectLog().log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name: "oracle", leaseMs: 3_000 },
      join: {
        databaseUrl: database.url,
        publishableKey: database.anonKey,
        tailnetJoin: [],
        whois: async () => ({ known: false, reason: "NO_MATCH", message: "" }),
        codeKey: "a-public-key",
        agent: undefined,
        node: undefined,
        ...join,
      },
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await hub.done;
  });
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const answer = await fetch(`${hub.url}${path}`, {
      method,
      headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Body };
  };
  const admin = { authorization: `Bearer ${TOKEN}` };
  return {
    url: hub.url,
    send,
    makeToken: async (body: object = {}) =>
      (await send("POST", "/api/loom/join-tokens", body, admin)).body as Body & {
        id: string;
        token: string;
        line: string;
      },
    admin: (method: string, path: string) => send(method, `/api/loom${path}`, undefined, admin),
    join: (body: object, headers: Record<string, string> = {}) =>
      send("POST", "/api/loom/join", body, headers),
    /** Calls a function of the database through the hub. */
    rpc: (name: string, args: object, headers: Record<string, string> = {}) =>
      send("POST", `/rest/v1/rpc/${name}`, args, headers),
  };
}

describe("a machine that joins with a token", () => {
  test("gets what it needs to work, and the same again for the same key", async ({
    queue,
    database,
  }) => {
    const hub = await start({ queue, database });
    const { token, line } = await hub.makeToken();
    expect(line).toBe(`curl -fsS ${hub.url}/join | LOOM_JOIN_TOKEN=${token} sh`);
    const request = { node: "tower", digest: digestOf(makeKey()), token };
    const joined = await hub.join(request);
    expect(joined).toEqual({
      status: 200,
      body: {
        node: "tower",
        hub: { id: (await queue.describeDatabase()).id, url: hub.url },
        // The database is on the hub's loopback, so the machine reaches it through the hub.
        database: { url: hub.url, publishableKey: database.anonKey },
        codeKey: "a-public-key",
      },
    });
    expect(await hub.join(request)).toEqual(joined);
    expect((await hub.admin("GET", "/join-tokens")).body).toMatchObject({
      data: [{ usesLeft: 0, joined: [{ node: "tower" }] }],
    });
    expect((await hub.admin("GET", "/audit")).body).toMatchObject({
      data: [
        { who: "a join token", action: "joinMachine", from: "127.0.0.1" },
        { who: "a join token", action: "joinMachine" },
        { who: "bootstrap token", action: "createJoinToken" },
      ],
    });
    expect(JSON.stringify((await hub.admin("GET", "/audit")).body)).not.toContain(token);
    const metrics = await fetch(`${hub.url}/metrics`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(await metrics.text()).toContain('loom_joins_total{result="joined"} 2');
  });

  test("reaches a database of its own address directly", async ({ queue, database }) => {
    const hub = await start({ queue, database }, { databaseUrl: "https://abc.supabase.co" });
    const { token } = await hub.makeToken();
    const { body } = await hub.join({ node: "tower", digest: digestOf(makeKey()), token });
    expect(body.database).toMatchObject({ url: "https://abc.supabase.co" });
  });

  test("gets a line that says so where its token lets it run commands", async ({
    queue,
    database,
  }) => {
    const hub = await start({ queue, database });
    const willing = await hub.makeToken({ node: "forge", mayOffer: ["has-nas", "exec"] });
    expect(willing.line).toContain("LOOM_NODE_NAME=forge LOOM_EXEC=any LOOM_JOIN_TOKEN=");
    for (const mayOffer of [[], ["*"], ["has-nas"]]) {
      expect((await hub.makeToken({ mayOffer })).line).not.toContain("LOOM_EXEC");
    }
  });

  test("is refused with a token that is used, over, revoked, unknown, or for another name", async ({
    queue,
    database,
  }) => {
    const hub = await start({ queue, database });
    const join = (token: string, node = "anvil") =>
      hub.join({ node, digest: digestOf(makeKey()), token });
    const refused = (code: string) => ({
      status: 403,
      body: { code, detail: expect.stringMatching(/^\S.*$/), hint: expect.any(String) },
    });

    const used = await hub.makeToken();
    expect((await join(used.token, "tower")).status).toBe(200);
    expect(await join(used.token)).toMatchObject(refused("JOIN_TOKEN_REFUSED"));
    const over = await hub.makeToken();
    await database.sql`update public.loom_join_tokens set expires_at = now() where id = ${over.id}::uuid`;
    expect(await join(over.token)).toMatchObject(refused("JOIN_TOKEN_REFUSED"));
    const revoked = await hub.makeToken();
    expect(await hub.admin("DELETE", `/join-tokens/${revoked.id}`)).toMatchObject({
      status: 200,
      body: { revokedAt: expect.any(String) },
    });
    expect(await join(revoked.token)).toMatchObject(refused("JOIN_TOKEN_REFUSED"));
    expect(await join(UNKNOWN)).toMatchObject(refused("JOIN_TOKEN_REFUSED"));
    const bound = await hub.makeToken({ node: "forge" });
    expect(bound.line).toContain("LOOM_NODE_NAME=forge LOOM_JOIN_TOKEN=");
    expect(await join(bound.token)).toMatchObject(refused("JOIN_TOKEN_WRONG_NODE"));
    // A refusal uses nothing up.
    expect((await join(bound.token, "forge")).status).toBe(200);
    expect((await queue.listNodeKeys()).map(({ node }) => node).sort()).toEqual(["forge", "tower"]);
  });

  test("does not get a name that another machine has", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    const first = await hub.makeToken();
    await hub.join({ node: "tower", digest: digestOf(makeKey()), token: first.token });
    const second = await hub.makeToken();
    const request = { node: "tower", digest: digestOf(makeKey()), token: second.token };
    expect(await hub.join(request)).toMatchObject({
      status: 409,
      body: { code: "NODE_NAME_IN_USE", hint: expect.stringContaining("LOOM_NODE_NAME") },
    });
    expect((await hub.join({ ...request, node: "tower-2" })).status).toBe(200);
  });

  test.for<[string, object, number, string]>([
    ["a digest that is none", { digest: "0" }, 422, "INVALID_REQUEST"],
    ["no node's name", { digest: DIGEST, node: "Tower" }, 422, "INVALID_REQUEST"],
    ["a token that is none", { digest: DIGEST, token: "loomj_short" }, 422, "INVALID_REQUEST"],
    ["a token without a name", { digest: DIGEST, token: UNKNOWN }, 422, "INVALID_REQUEST"],
    ["a field too many", { digest: DIGEST, node: "tower", more: 1 }, 422, "INVALID_REQUEST"],
    ["a long body", { digest: DIGEST, node: "x".repeat(5_000) }, 413, "BODY_TOO_LARGE"],
    ["loopback without a token", { digest: DIGEST }, 403, "JOIN_TOKEN_REQUIRED"],
  ])("is refused for %s", async ([, body, status, code], { queue, database }) => {
    const hub = await start({ queue, database }, { tailnetJoin: ["ada@example.org"] });
    expect(await hub.join(body)).toMatchObject({ status, body: { code } });
  });

  test("learns what the hub lacks", async ({ queue, database }) => {
    const hub = await start({ queue, database }, { publishableKey: undefined });
    expect(await hub.join({ digest: DIGEST, node: "tower" })).toMatchObject({
      status: 503,
      body: { code: "JOIN_UNAVAILABLE", hint: expect.stringContaining("SUPABASE_PUBLISHABLE_KEY") },
    });
  });

  test("needs an administrator's token for a join token", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    expect((await hub.send("POST", "/api/loom/join-tokens", {})).status).toBe(401);
    expect((await hub.admin("DELETE", "/join-tokens/nope")).body.code).toBe("JOIN_TOKEN_NOT_FOUND");
  });
});

test.for([
  "/join",
  "/agent",
  `/agent/${"0".repeat(64)}.tgz`,
  "/api/loom/join",
  "/rest/v1/rpc/loom_hello",
])(
  "%s is closed to browsers and to what a proxy passes on without TLS",
  async (path, { queue, database }) => {
    const hub = await start({ queue, database });
    const method = path.startsWith("/api") || path.startsWith("/rest") ? "POST" : "GET";
    for (const [headers, code] of [
      [{ origin: hub.url }, "BROWSER_REFUSED"],
      [{ "sec-fetch-site": "none" }, "BROWSER_REFUSED"],
      [{ "x-forwarded-for": "203.0.113.9" }, "NOT_SERVED_HERE"],
    ] as const) {
      expect(await hub.send(method, path, undefined, headers)).toMatchObject({
        status: 403,
        body: { code },
      });
    }
  },
);

/** A machine that has joined, with the header of its key. */
async function joined(hub: Awaited<ReturnType<typeof start>>, node: string) {
  const key = makeKey();
  const { token } = await hub.makeToken();
  await hub.join({ node, digest: digestOf(key), token });
  return { "x-loom-node-key": key };
}

describe("the database through the hub", () => {
  test("answers an agent as it does directly, refusals included", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    const as = await joined(hub, "tower");
    const direct = async (name: string, args: object, headers: Record<string, string>) => {
      const answer = await fetch(`${database.url}/rest/v1/rpc/${name}`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${database.anonKey}`,
          "content-type": "application/json",
          ...headers,
        },
        body: JSON.stringify(args),
      });
      return { status: answer.status, body: await answer.json() };
    };
    for (const [name, args, key] of [
      ["loom_describe_database", {}, { "x-loom-node-key": makeKey() }],
      ["loom_heartbeat", { p_node: "forge", p_epoch: 1 }, as],
      ["loom_heartbeat", { nonsense: 1 }, as],
    ] as const) {
      const answer = await hub.rpc(name, args, key);
      expect(answer, name).toEqual(await direct(name, args, key));
    }
    expect((await hub.rpc("loom_describe_database", {}, as)).status).toBe(200);
  });

  test("takes the key of the node alone, whatever else a caller sends", async ({
    queue,
    database,
  }) => {
    const hub = await start({ queue, database });
    const service = { authorization: `Bearer ${database.serviceKey}`, apikey: database.serviceKey };
    expect(await hub.rpc("loom_describe_database", {}, service)).toMatchObject({
      status: 401,
      body: { details: "NODE_KEY_REFUSED" },
    });
    const withOther = { ...service, "x-loom-node-key": makeKey() };
    expect(await hub.rpc("loom_describe_database", {}, withOther)).toMatchObject({
      status: 403,
      body: { details: "NODE_KEY_REFUSED" },
    });
  });

  test.for([
    "loom_list_nodes",
    "loom_with_audit",
    "loom_create_token",
    "loom_join_node",
    "loom_revoke_key",
    "pg_sleep",
  ])("has no %s", async (name, { queue, database }) => {
    const hub = await start({ queue, database });
    expect(await hub.rpc(name, {}, await joined(hub, "tower"))).toMatchObject({
      status: 404,
      body: { code: "NOT_FOUND" },
    });
  });

  test("has no tables, and no other method", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    const as = await joined(hub, "tower");
    expect((await hub.send("GET", "/rest/v1/loom_tokens", undefined, as)).status).toBe(404);
    expect((await hub.send("GET", "/rest/v1/rpc/loom_hello", undefined, as)).status).toBe(405);
  });

  test("is away without ending anything", async ({ queue, database }) => {
    const hub = await start({ queue, database }, { databaseUrl: "http://127.0.0.1:1" });
    const as = { "x-loom-node-key": makeKey() };
    expect(await hub.rpc("loom_hello", {}, as)).toMatchObject({
      status: 503,
      body: { code: "QUEUE_UNAVAILABLE" },
    });
  });

  test("takes so many calls of a key at once, and more of another one", async ({
    queue,
    database,
  }) => {
    const held: (() => void)[] = [];
    const slow = createServer(({ url }, response) => {
      const answer = () => void response.end("{}");
      if (url?.endsWith("/loom_describe_database")) answer();
      else held.push(answer);
    });
    await once(slow.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void slow.close());
    const { port } = slow.address() as AddressInfo;
    const hub = await start({ queue, database }, { databaseUrl: `http://127.0.0.1:${port}` });
    const one = { "x-loom-node-key": makeKey() };
    const calls = Array.from({ length: 64 }, () => hub.rpc("loom_hello", {}, one));
    await expect.poll(() => held.length).toBe(64);
    expect(await hub.rpc("loom_hello", {}, one)).toMatchObject({
      status: 429,
      body: { code: "TOO_MANY_CALLS" },
    });
    const other = hub.rpc("loom_hello", {}, { "x-loom-node-key": makeKey() });
    await expect.poll(() => held.length).toBe(65);
    for (const answer of held) answer();
    expect((await other).status).toBe(200);
    expect((await Promise.all(calls)).every(({ status }) => status === 200)).toBe(true);
    const again = hub.rpc("loom_hello", {}, one);
    await expect.poll(() => held.length).toBe(66);
    held.at(-1)?.();
    expect((await again).status).toBe(200);
  });

  test("reads no body of a stranger", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    const { hostname, port } = new URL(hub.url);
    // A body that never ends, and may be as long as its sender likes.
    const asked = request({
      ...{ hostname, port, path: "/rest/v1/rpc/loom_hello", method: "POST" },
      headers: { "x-loom-node-key": makeKey(), "content-type": "application/json" },
    });
    onTestFinished(() => void asked.destroy());
    asked.on("error", () => {});
    asked.write('{"p_node":"');
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(403);
    expect(await text(answer)).toContain("NODE_KEY_REFUSED");
  });

  test("holds so many bytes of a key at once, however slowly they come", async ({
    queue,
    database,
  }) => {
    const hub = await start({ queue, database });
    const as = await joined(hub, "tower");
    expect((await hub.rpc("loom_describe_database", {}, as)).status).toBe(200);
    const { hostname, port } = new URL(hub.url);
    // One more than there is room for: one of them may come while a question below has its seat.
    const slow = Array.from({ length: 9 }, () => {
      const asked = request({
        ...{ hostname, port, path: "/rest/v1/rpc/loom_hello", method: "POST", agent: false },
        headers: { ...as, "content-type": "application/json", "content-length": 8 * 2 ** 20 },
      });
      asked.on("error", () => {});
      asked.write(" ");
      return asked;
    });
    onTestFinished(() => slow.forEach((asked) => void asked.destroy()));
    await expect
      .poll(() => hub.rpc("loom_describe_database", {}, as))
      .toMatchObject({ status: 429, body: { code: "TOO_MANY_CALLS" } });
    const other = await joined(hub, "anvil");
    expect((await hub.rpc("loom_describe_database", {}, other)).status).toBe(200);
  });

  test("takes no body beyond its limit", async ({ queue, database }) => {
    const hub = await start({ queue, database });
    const as = await joined(hub, "tower");
    const body = { p_node: "x".repeat(9 * 2 ** 20) };
    expect(await hub.rpc("loom_hello", body, as)).toMatchObject({
      status: 413,
      body: { code: "BODY_TOO_LARGE" },
    });
  });
});

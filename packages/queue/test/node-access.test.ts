import { createHmac } from "node:crypto";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { hostedTest, makeJob, only, sayHello } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { NODE_FUNCTIONS } from "../src/migrate.ts";
import { queueOver } from "../src/queue.ts";
import { claim, offerAll } from "../src/testing/agent.ts";
import { hostedTransport } from "../src/testing/hosted/hosted-test.ts";
import { grantNodeKey, joinAs, makeKey } from "../src/testing/hosted/node-key.ts";

type Headers = Record<string, string | string[]>;

/** A request of a thief: who has the publishable key and forge's own, and says what it likes. */
interface Ask {
  path: string;
  method?: string;
  body?: unknown;
  headers?: Headers;
}

/** A node key that is good for forge, and requests with it, past any client. */
const test = hostedTest
  .extend("key", ({ database }) => grantNodeKey(database, "forge"))
  .extend("ask", ({ project, key }) => (asked: Ask): Promise<{ status: number; body: string }> => {
    const headers: Headers = {
      apikey: project.publishableKey,
      "content-type": "application/json",
      "x-loom-node-key": key,
      ...asked.headers,
    };
    return new Promise((resolve, reject) => {
      const url = new URL(`/rest/v1${asked.path}`, project.url);
      request(url, { method: asked.method ?? "POST", headers }, (answer) => {
        text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
      })
        .on("error", reject)
        .end(asked.body === undefined ? undefined : JSON.stringify(asked.body));
    });
  })
  .extend("forge", ({ project, key }) => queueOver(hostedTransport(project, key)));

const nodeFunctions = new Set<string>(NODE_FUNCTIONS);
const DENIED = /42501/;
const VIEWS = new Set(["loom_events", "loom_job_queue"]);

describe("a node's key", () => {
  test("executes no function but an agent's", async ({ database, ask }) => {
    const functions = await database.sql<{ name: string; names: string[] | null }[]>`
      select proname as name, proargnames[:pronargs] as names from pg_proc
       where pronamespace = 'public'::regnamespace and proname ^@ 'loom_' and prorettype <> 'trigger'::regtype`;
    expect(functions.length).toBeGreaterThan(80);
    for (const { name, names } of functions.filter((each) => !nodeFunctions.has(each.name))) {
      const body = Object.fromEntries((names ?? []).map((each) => [each, null]));
      const answer = await ask({ path: `/rpc/${name}`, body });
      expect({ name, ...answer }).toMatchObject({ body: expect.stringMatching(DENIED) });
      expect(answer.status).toBeGreaterThanOrEqual(400);
    }
  });

  test("reads and writes no table", async ({ database, queue, ask }) => {
    await queue.enqueue([makeJob()]);
    const tables = await database.sql<{ name: string }[]>`
      select relname as name from pg_class
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')`;
    expect(tables.length).toBeGreaterThan(15);
    for (const { name } of tables) {
      for (const method of ["GET", "POST", "PATCH", "DELETE"]) {
        const body = method === "GET" || method === "DELETE" ? undefined : {};
        const answer = await ask({ path: `/${name}`, method, body });
        // Nobody may write these views: Postgres says so before it looks at who asks.
        const denied = method !== "GET" && VIEWS.has(name) ? /"(55000|42501)"/ : DENIED;
        expect(answer).toMatchObject({ body: expect.stringMatching(denied) });
      }
    }
  });

  test("sees and touches only its own node's work", async ({ database, queue, forge }) => {
    const oracle = await joinAs("oracle", { queue, database });
    const theirs = await sayHello(oracle.queue, "oracle");
    const session = await sayHello(forge, "forge");
    await queue.enqueue([makeJob({ input: "secret", host: "oracle" }), makeJob()]);
    await offerAll(queue, "oracle");
    const jobs = await claim(oracle.queue, theirs, { limit: 1 });
    const { id, fence } = only(jobs);
    const other = only((await queue.listJobs({ state: "pending" })).jobs);

    expect(await claim(forge, session)).toEqual([]);
    const item = { id, fence, outcome: "succeeded", result: "forged" } as const;
    const absent = { ...item, id: 999 };
    expect(await forge.settle("forge", [item, absent])).toMatchObject([
      { answer: "unknown" },
      { answer: "unknown" },
    ]);
    const chunk = [{ start: 0, chunk: "forged" }];
    expect(await forge.appendLog({ node: "forge", id, fence }, chunk)).toBe("unknown");
    const forged = { seq: 1, json: '"forged"' };
    expect(await forge.saveCheckpoint({ node: "forge", id, fence }, forged)).toBe("unknown");
    expect(await forge.decline("forge", [id, other.id], "no")).toEqual([]);
    for (const call of [
      () => forge.claim(theirs, { seq: 2, limit: 9 }),
      () => forge.settle("oracle", [item]),
      () => forge.heartbeat(theirs),
      () => forge.reportNode(theirs, { capabilities: [], slots: 0 }),
      () => forge.setNodeStatus("oracle", { status: "paused" }),
      () => forge.decline("oracle", [other.id], "no"),
      () => forge.appendLog({ node: "oracle", id, fence }, chunk),
      () => forge.saveCheckpoint({ node: "oracle", id, fence }, forged),
      () => forge.describeNode("oracle"),
      () => forge.revokeOwnKey("oracle"),
      () => forge.rotateNodeKey("oracle", makeKey().digest),
      () => sayHello(forge, "oracle"),
      () => sayHello(forge, "nobody"),
    ]) {
      await expect(call()).rejects.toMatchObject({ reason: "NODE_KEY_REFUSED" });
    }
    expect(await queue.getJob(id)).toMatchObject({ state: "running", ranOn: "oracle" });
    expect(await queue.readLog(id)).toMatchObject({ chunks: [] });
    expect(await database.sql`select from public.loom_checkpoints`).toHaveLength(0);
    expect(await queue.getJob(other.id)).toMatchObject({ state: "pending", targetHost: "oracle" });
  });

  test("can delay only its own jobs", async ({ database, queue, forge }) => {
    const oracle = await joinAs("oracle", { queue, database });
    await sayHello(forge, "forge");
    await queue.enqueue([makeJob({ host: "oracle" })]);
    const { id, fence } = only(await claim(oracle.queue, await sayHello(oracle.queue, "oracle")));
    await database.sql.begin(async (sql) => {
      await sql`select from public.loom_jobs where id = ${id} for update`;
      const item = { id, fence, outcome: "succeeded", result: 1 } as const;
      expect(await forge.settle("forge", [item])).toMatchObject([{ answer: "unknown" }]);
    });
  });

  test("can cause only a bounded number of events", async ({ database, queue, forge }) => {
    const { epoch } = await sayHello(forge, "forge");
    for (let time = 0; time < 100; time += 1) {
      await sayHello(forge, "forge").catch(() => {});
      const status = time % 2 === 0 ? "paused" : "active";
      await forge.setNodeStatus("forge", { status }).catch(() => {});
    }
    const [row] = await database.sql<{ events: number }[]>`
      select count(*)::integer as events from public.loom_events`;
    // The minute may have changed meanwhile.
    expect(row?.events).toBeLessThanOrEqual(2 * 60);
    expect(only(await queue.listNodes()).epoch).toBeGreaterThan(epoch);
  });

  test("causes no more events by changing itself, or what its node offers", async ({
    database,
    project,
    queue,
    forge,
  }) => {
    let current = forge;
    for (let time = 0; time < 100; time += 1) {
      const next = makeKey();
      const changed = await current.rotateNodeKey("forge", next.digest).catch(() => undefined);
      if (changed) current = queueOver(hostedTransport(project, next.text));
    }
    const [{ keys = 0 } = {}] = await database.sql<{ keys: number }[]>`
      select count(*)::integer as keys from public.loom_node_keys`;
    expect(keys).toBeLessThanOrEqual(1 + 2 * 60);
    await database.sql`update public.loom_node_events set minute = minute - interval '1 minute'`;
    const session = await sayHello(current, "forge");
    const report = (cpus: number) => ({ capabilities: [`cpus=${cpus}`], slots: 1 });
    let accepted = 0;
    for (let time = 0; time < 100; time += 1) {
      const answer = await current.reportNode(session, report(time)).catch(() => undefined);
      if (answer) accepted += 1;
    }
    expect(accepted).toBeLessThanOrEqual(2 * 60);
    expect(await queue.verify()).toEqual([]);
  });

  test("can give its own job back at once a few times, and then less and less often", async ({
    database,
    queue,
    forge,
  }) => {
    await queue.enqueue([makeJob({ host: "forge" }), makeJob({ host: "forge" })]);
    const session = await sayHello(forge, "forge");
    for (let seq = 1; seq <= 50; seq += 1) {
      const jobs = await claim(forge, session, { seq });
      const items = jobs.map(({ id, fence }, index) => ({
        ...{ id, fence, delayMs: 0, reason: "no" },
        outcome: index === 0 ? ("released" as const) : ("declined" as const),
      }));
      if (items.length > 0) await forge.settle("forge", items);
    }
    const [{ claims = 0 } = {}] = await database.sql<{ claims: number }[]>`
      select count(*)::integer as claims from public.loom_events where type = 'job.claimed'`;
    expect(claims).toBeLessThanOrEqual(2 * 12);
    expect(await queue.verify()).toEqual([]);
  });
});

const TOKEN = {
  p_name: "thief",
  p_digest: "a".repeat(64),
  p_scopes: ["admin"],
};
const path = "/rpc/loom_create_token";
const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const query = new URLSearchParams({
  p_name: "thief",
  p_digest: TOKEN.p_digest,
  p_scopes: "{admin}",
});
const hello = {
  p_node: "forge",
  p_incarnation: "5e1f0c5a-0000-4000-8000-000000000001",
  p_lease_ms: 45_000,
  p_capabilities: [],
  p_slots: 1,
};

/** Every way that we could think of to make a token of the API with a node's key. */
const MINTING: Record<string, Ask> = {
  "a direct call": { path, body: TOKEN },
  "a GET": { path: `${path}?${query}`, method: "GET" },
  "a call of the audit's wrapper": {
    path: "/rpc/loom_with_audit",
    body: {
      p_function: "loom_create_token",
      p_args: TOKEN,
      p_request: { who: "ada", action: "createToken" },
    },
  },
  "an insert": {
    path: "/loom_tokens",
    body: { name: "thief", digest: TOKEN.p_digest, scopes: ["admin"] },
  },
  "an insert beside a call": {
    path: "/rpc/loom_heartbeat?select=*,loom_tokens(*)",
    body: { p_node: "forge", p_epoch: 1 },
  },
  "SQL in the node's name": {
    path: "/rpc/loom_heartbeat",
    body: {
      p_node: "forge'; select public.loom_create_token('thief', repeat('a',64), '{admin}'); --",
      p_epoch: 1,
    },
  },
  "SQL in a name that is stored": {
    path: "/rpc/loom_hello",
    body: { ...hello, p_host: "$$; select public.loom_create_token('thief'); $$\n" },
  },
  "being a hub": { path: "/rpc/loom_hello", body: { ...hello, p_is_hub: true } },
  "taking the lead": { path: "/rpc/loom_lead", body: { p_holder: "forge/1", p_lease_ms: 5_000 } },
  "joining as another": {
    path: "/rpc/loom_join_node",
    body: { p_node: "oracle", p_digest: TOKEN.p_digest, p_created_by: "thief", p_tailnet_id: "n1" },
  },
  "allowing itself everything": {
    path: "/rpc/loom_allow_offers",
    body: { p_node: "forge", p_names: ["*"] },
  },
  "claims in a header": {
    path,
    body: TOKEN,
    headers: {
      "request.jwt.claims": '{"role":"service_role"}',
      "x-jwt-claims": '{"role":"service_role"}',
    },
  },
  "a role in a header": {
    path,
    body: TOKEN,
    headers: { role: "service_role", "x-role": "service_role", "x-supabase-role": "service_role" },
  },
  "a Prefer header": { path, body: TOKEN, headers: { prefer: "params=single-object, tx=commit" } },
  "a session setting": {
    path: "/rpc/set_config",
    body: { setting_name: "role", new_value: "service_role", is_local: false },
    headers: { "content-profile": "pg_catalog", "accept-profile": "pg_catalog" },
  },
  "another schema": {
    path,
    body: TOKEN,
    headers: { "content-profile": "loom", "accept-profile": "loom" },
  },
  "a token that nobody signed": {
    path,
    body: TOKEN,
    headers: {
      authorization: `Bearer ${b64({ alg: "none", typ: "JWT" })}.${b64({ role: "service_role" })}.`,
    },
  },
  "its key as a token": {
    path,
    body: TOKEN,
    headers: { authorization: `Bearer ${makeKey().text}` },
  },
  "its key as the project's": { path, body: TOKEN, headers: { apikey: makeKey().text } },
};

describe("a node's key mints no admin token", () => {
  for (const [title, asked] of Object.entries(MINTING)) {
    test(`by ${title}`, async ({ ask, queue }) => {
      expect((await ask(asked)).status).toBeGreaterThanOrEqual(400);
      expect(await queue.listTokens()).toEqual([]);
      expect(await queue.findToken(TOKEN.p_digest)).toBeNull();
      expect(await queue.listNodeKeys()).toHaveLength(1);
    });
  }

  test("by a token that another secret signed", async ({ ask, queue }) => {
    const said = `${b64({ alg: "HS256", typ: "JWT" })}.${b64({ role: "service_role" })}`;
    const signature = createHmac("sha256", "a secret of somebody else, long enough").update(said);
    const forged = `${said}.${signature.digest("base64url")}`;
    const headers = { authorization: `Bearer ${forged}` };
    expect((await ask({ path, body: TOKEN, headers })).status).toBe(401);
    expect(await queue.listTokens()).toEqual([]);
  });
});

describe("a call of an agent", () => {
  const asked: Ask = { path: "/rpc/loom_hello", body: hello };

  test("is answered with the key, however its header's name is written", async ({ ask, key }) => {
    const headers: Headers = { "x-loom-node-key": [], "X-LOOM-Node-Key": key };
    delete headers["x-loom-node-key"];
    expect(await ask(asked)).toMatchObject({ status: 200 });
    expect(await ask({ ...asked, headers })).toMatchObject({ status: 200 });
  });

  test.for<{ title: string; keyed: (key: string, other: string) => string | string[] }>([
    { title: "no key", keyed: () => [] },
    { title: "an empty key", keyed: () => "" },
    { title: "another key", keyed: () => makeKey().text },
    { title: "another node's key", keyed: (_, other) => other },
    { title: "two keys in one header", keyed: (key, other) => `${key}, ${other}` },
    { title: "two headers", keyed: (key, other) => [key, other] },
    { title: "the key in JSON", keyed: (key) => JSON.stringify([key]) },
    { title: "the key in capitals", keyed: (key) => key.toUpperCase() },
    { title: "the key with more behind it", keyed: (key) => `${key}A` },
    { title: "the key cut off", keyed: (key) => key.slice(0, -1) },
    { title: "a join token", keyed: () => makeKey("loomj").text },
    { title: "a pattern", keyed: () => `loomn_${"%".repeat(43)}` },
    { title: "a long key", keyed: () => `loomn_${"k".repeat(12_000)}` },
  ])("is refused with $title", async ({ keyed }, { ask, key, database, queue }) => {
    const other = await grantNodeKey(database, "oracle");
    const answer = await ask({ ...asked, headers: { "x-loom-node-key": keyed(key, other) } });
    expect(answer).toMatchObject({
      status: 403,
      body: expect.stringContaining("NODE_KEY_REFUSED"),
    });
    expect(answer.body.length).toBeLessThan(200);
    expect(await queue.listNodes()).toEqual([]);
  });

  test("is refused with a key of a megabyte, before it reaches the database", async ({ ask }) => {
    const headers = { "x-loom-node-key": `loomn_${"k".repeat(1_000_000)}` };
    expect((await ask({ ...asked, headers })).status).toBe(520);
  });

  test.for([
    { title: "revoked", sql: "update public.loom_node_keys set revoked_at = now()" },
    { title: "expired", sql: "update public.loom_node_keys set expires_at = now()" },
    {
      title: "kept under another digest",
      sql: "update public.loom_node_keys set digest = repeat('0', 64)",
    },
    { title: "of a removed node", sql: "select public.loom_remove_node('forge')" },
  ])("is refused with a key that is $title", async ({ sql }, { ask, database }) => {
    expect(await ask({ ...asked })).toMatchObject({ status: 200 });
    await database.sql.unsafe(sql);
    expect(await ask(asked)).toMatchObject({ status: 403 });
    expect(await ask({ path: "/rpc/loom_describe_database", body: {} })).toMatchObject({
      status: 403,
    });
  });

  test("writes and locks nothing when it is refused", async ({ ask, database }) => {
    await ask(asked);
    await database.sql.begin(async (sql) => {
      await sql`lock table public.loom_node_keys, public.loom_node_sessions, public.openclaw_instances,
                           public.loom_event_batches, public.loom_jobs in exclusive mode`;
      const headers = { "x-loom-node-key": makeKey().text };
      expect(await ask({ ...asked, headers })).toMatchObject({ status: 403 });
    });
  });
});

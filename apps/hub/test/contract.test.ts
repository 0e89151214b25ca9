import { createHash } from "node:crypto";
import { type HubFiles, StoreError } from "@loom/files";
import { createHub } from "@loom/hub";
import { NO_JOIN } from "@loom/join";
import { digestOf, makeToken, type Queue, QueueUnavailableError } from "@loom/queue";
import { grantNodeKey, makePlan } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import { cron, limits } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { claim, runAll, sayHello, TOKEN, test, workflows } from "./fixtures.ts";
import {
  createChecker,
  type DescribedOperation,
  type Document,
  operationsOf,
  readAnswer,
} from "./openapi.ts";

const NOBODY = "00000000-0000-0000-0000-000000000000";
const log = pino({ level: "silent" });

interface App {
  request(path: string, init?: RequestInit): Response | Promise<Response>;
}

interface Asked {
  /** In place of `{id}` and the like, in their order; what is left out is `pause`. */
  at?: string | number | (string | number)[];
  query?: string;
  body?: unknown;
  /** In place of what `body` comes to. */
  raw?: string;
  headers?: Record<string, string>;
}

/** Asks for an operation, and checks the answer against its description. */
function createAsker(app: App, document: Document, operations: Map<string, DescribedOperation>) {
  const check = createChecker(document);
  const seen = new Map([...operations].map(([id]) => [id, new Set<string>()]));
  const ask = async (id: string, { at = [], query = "", body, raw, headers = {} }: Asked = {}) => {
    const operation = operations.get(id);
    if (!operation) throw new Error(`there is no operation ${id}`);
    const parts = [at].flat();
    const path =
      operation.path.replace(/\{\w+\}/g, () => encodeURIComponent(parts.shift() ?? "pause")) +
      query;
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const answer = await readAnswer(
      await app.request(path, {
        method: operation.method,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(sent !== undefined && { "content-type": "application/json" }),
          ...headers,
        },
        ...(sent !== undefined && { body: sent }),
      }),
    );
    expect(check(operation, answer), `${operation.method} ${path}`).toBeUndefined();
    seen.get(id)?.add(String(answer.status));
    return (answer.text === "" ? {} : JSON.parse(answer.text)) as Record<string, unknown>;
  };
  return { ask, seen };
}

async function read(app: App) {
  const document = (await (await app.request("/openapi.json")).json()) as Document;
  return {
    document,
    operations: new Map(operationsOf(document).map((operation) => [operation.id, operation])),
  };
}

/** Files in a store that fails. */
function brokenFiles(code: "STORE_FULL" | "STORE_REFUSED", id: string): HubFiles {
  const fail = async (): Promise<never> => {
    throw new StoreError(code, "the store does not take it: try again later");
  };
  return {
    store: { id, free: fail, open: fail, read: fail, remove: fail },
    uploads: { open: fail, part: fail, finish: fail, close: async () => {} },
  };
}

const text = { headers: { "content-type": "text/plain" }, raw: "{}" };
const large = `{"input":"${"x".repeat(1_100_000)}"}`;

describe("every operation", () => {
  test("answers with every status that it describes, each as described", {
    timeout: 60_000,
  }, async ({ app, queue, database }) => {
    const { document, operations } = await read(app);
    const { ask, seen } = createAsker(app, document, operations);

    // Something of every kind to ask for.
    const session = await sayHello(queue, "forge", { capabilities: ["has-gpu"], isHub: true });
    const { runId: running } = await ask("startRun", {
      at: "train",
      body: { input: { notes: "x" }, key: "k" },
    });
    await ask("startRun", { at: "train", body: { key: "k" } });
    const { runId: done } = await ask("startRun", { at: "hello" });
    await runAll(queue, session);
    const { runId: open } = await ask("startRun", {
      at: "pinned",
      body: { allowUnsatisfiable: true },
    });
    await ask("startRun", { at: "pinned" });
    await ask("addJobs", { body: { jobs: [{ workflow: "hello", step: "greet", host: "forge" }] } });
    const [job] = await claim(queue, session, 100);
    const own = job?.id ?? 0;
    await queue.appendLog({ node: "forge", id: own, fence: job?.fence ?? 0 }, [
      { start: 0, chunk: "one\n" },
    ]);
    const { jobs } = (await ask("addJobs", {
      body: { jobs: [{ workflow: "hello", step: "greet", key: "j", delayMs: 0, priority: 7 }] },
    })) as { jobs: { id: number }[] };
    const waiting = jobs[0]?.id ?? 0;

    const { epoch } = await queue.lead("one", 45_000);
    const schedule = { ...cron("@daily"), workflow: "hello" };
    await queue.syncSchedules([{ ...schedule, id: "gone" }], epoch);
    await queue.syncSchedules([{ ...schedule, id: "nightly" }], epoch);

    // Requests that succeed.
    await ask("listStrands");
    await ask("getStrand", { at: "train" });
    await ask("getStrand", { at: "train", headers: { "if-none-match": "*" } });
    await ask("pauseStrand", { at: "train", body: { note: "for now" } });
    await ask("listStrands");
    await ask("resumeStrand", { at: "train" });
    await ask("listRuns", { query: "?limit=1" });
    for (const id of [running, done, open]) await ask("getRun", { at: String(id) });
    await ask("retryRun", { at: String(done), body: { mode: "all" } });
    await ask("rerunRun", { at: String(done) });
    await ask("listJobs", { query: "?limit=1" });
    for (const state of ["succeeded", "running", "waiting", "pending", "blocked"]) {
      await ask("listJobs", { query: `?state=${state}` });
    }
    for (let id = 1; id <= waiting; id += 1) await ask("getJob", { at: id });
    await ask("getJobLog", { at: own });
    await ask("listItems", { at: own });
    for (let id = 1; id <= waiting; id += 1) await ask("explainJob", { at: id });
    await ask("explainJob", { at: own, query: "?node=forge" });
    await ask("explain", {
      body: { requires: ["has-gpus"], prefers: [{ clause: "ssd", weight: 1 }] },
    });
    await ask("cancelJob", { at: own });
    await ask("cancelJob", { at: waiting });
    await ask("redriveJob", { at: waiting });
    await ask("listNodes");
    for (const verb of ["pause", "drain", "resume"]) {
      await ask("steerNode", { at: ["forge", verb] });
    }
    await ask("getDoctor");
    await ask("getSummary");
    await ask("getMesh", { query: "?ping=true" });
    await ask("getMesh", { query: "?ping=1" });
    await ask("getNode", { at: "forge" });
    await ask("streamEvents");
    await ask("streamRunEvents", { at: String(done) });
    await ask("streamRunEvents", { at: String(done), headers: { "last-event-id": "end" } });
    await ask("streamJobLog", { at: own });
    await ask("streamJobLog", { at: own, headers: { "last-event-id": "end" } });
    await ask("cancelRun", { at: String(open) });
    await ask("getRun", { at: String(open) });
    await ask("listAudit", { query: "?limit=2" });
    const made = await ask("createToken", {
      body: { name: "ci", scopes: ["read"], expiresInDays: 7 },
    });
    await ask("listTokens");
    await ask("listSessions");
    await ask("revokeToken", { at: String(made.id) });
    const invitation = await ask("createJoinToken", { body: { node: "tower" } });
    await ask("listJoinTokens");
    await ask("revokeJoinToken", { at: String(invitation.id) });
    await grantNodeKey(database, "pi");
    const { data: keys } = await ask("listNodeKeys", { at: "pi" });
    await ask("allowOffers", { at: "pi", body: { names: ["has-nas"] } });
    await ask("revokeNodeKey", { at: ["pi", String((keys as { id: string }[])[0]?.id)] });
    await ask("removeNode", { at: "pi" });
    const target = { kind: "webhook", url: "https://example.org/" };
    const hook = { name: "chat", rules: ["run.failed", "step.waiting"], target };
    for (let n = 0; n < 2; n += 1) await ask("createHook", { body: hook });
    await ask("changeHook", { at: "chat", body: { enabled: false, target } });
    const { id: delivery } = await ask("testHook", { at: "chat" });
    await ask("redeliver", { at: ["chat", String(delivery)] });
    await database.sql`update public.loom_hook_deliveries set state = 'failed', next_at = null`;
    await ask("redeliver", { at: ["chat", String(delivery)] });
    await database.sql`
      insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
      select 'chat', 'test', 'chat', n::text, '{}' from generate_series(1, 999) as n`;
    await ask("testHook", { at: "chat" });
    await ask("listHooks");
    await ask("getHook", { at: "chat" });
    await ask("listDeliveries", { at: "chat", query: "?limit=2" });
    // Both it and its end from the third byte on are JSON texts, as the checker wants.
    const content = '"\\"x"';
    const sha256 = createHash("sha256").update(content).digest("hex");
    const file = { name: "a.txt", size: content.length, sha256 };
    const bytes = { "content-type": "application/octet-stream" };
    const sendUpload = async (body: typeof file) => {
      const { id } = await ask("beginUpload", { body });
      const at = String(id);
      await ask("finishUpload", { at });
      await ask("sendPart", { at: [at, "0"], raw: "12", headers: bytes });
      await ask("sendPart", { at: [at, "7"], raw: content, headers: bytes });
      await ask("sendPart", { at: [at, "0"], raw: content, headers: bytes });
      await ask("finishUpload", { at });
    };
    await sendUpload(file);
    await sendUpload({ ...file, sha256: "0".repeat(64) });
    await ask("sendPart", { at: [NOBODY, "0"], raw: content, headers: bytes });
    const long = "x".repeat(limits.filePartBytes + 1);
    const promised = { ...bytes, "content-length": String(long.length) };
    await ask("sendPart", { at: [NOBODY, "0"], raw: long, headers: promised });
    await ask("finishUpload", { at: NOBODY });
    await database.sql`select public.loom_use_files(${String(running)}, ${JSON.stringify(file)})`;
    await ask("listRunFiles", { at: String(running) });
    await ask("listRunFiles", { at: NOBODY });
    await ask("downloadFile", { at: [String(running), sha256] });
    await ask("downloadFile", { at: [String(running), sha256], headers: { range: "bytes=2-" } });
    await ask("downloadFile", { at: [NOBODY, sha256] });
    await ask("downloadFile", { at: [String(running), sha256], headers: { range: "bytes=99-" } });
    const approval = {
      ...{ kind: "approval" as const, title: "Go on?", who: [], timeoutMs: null },
      ...{ onTimeout: "fail" as const, inputSchema: null, defaultInput: null },
    };
    await queue.startRun(makePlan([{ step: "ask", wait: approval }]));
    const { data: approvals } = await ask("listApprovals");
    const [{ id: question, digest }] = approvals as [{ id: number; digest: string }];
    await ask("getApproval", { at: question });
    for (const decision of ["approved", "rejected"]) {
      await ask("decideApproval", { at: question, body: { decision, digest } });
    }
    await ask("sendSignal", { at: "paid", body: { key: "7", data: { euros: 3 } } });
    await database.sql`
      insert into public.loom_signals (event, key, payload)
      select 'paid', n::text, 'null' from generate_series(1, ${limits.signalsOfEvent}) as n`;
    await ask("sendSignal", { at: "paid" });
    await ask("getSession");
    await ask("openSession");
    await ask("closeSession");

    await ask("listSchedules");
    await ask("getSchedule", { at: "nightly" });
    await ask("listScheduleSlots", { at: "nightly" });
    await ask("triggerSchedule", { at: "nightly" });
    await ask("pauseSchedule", { at: "nightly", body: { note: "for now" } });
    await ask("listSchedules");
    await ask("resumeSchedule", { at: "nightly" });

    await ask("steerNode", { at: ["forge", "pause"], body: { note: "for now", forMs: 60_000 } });
    await ask("steerNode", { at: ["forge", "resume"] });

    // Names and states that do not exist.
    await ask("steerNode", { at: ["nope", "drain"] });
    await ask("triggerSchedule", { at: "gone" });
    for (const id of [
      "getSchedule",
      "listScheduleSlots",
      "triggerSchedule",
      "pauseSchedule",
      "resumeSchedule",
    ]) {
      await ask(id, { at: "nope" });
    }
    for (const id of ["getStrand", "startRun", "pauseStrand", "resumeStrand"])
      await ask(id, { at: "nope" });
    for (const id of ["getRun", "cancelRun", "retryRun", "rerunRun", "streamRunEvents"]) {
      await ask(id, { at: NOBODY });
    }
    for (const id of [
      "getJob",
      "cancelJob",
      "redriveJob",
      "explainJob",
      "listItems",
      "getJobLog",
      "streamJobLog",
    ]) {
      await ask(id, { at: 999_999 });
      await ask(id, { at: "x" });
    }
    await ask("getNode", { at: "nope" });
    await ask("steerNode", { at: "nope" });
    await ask("upgradeNode", { at: "nope" });
    await ask("upgradeNode", { at: "forge" });
    await ask("upgradeNodes");
    await ask("listNodeKeys", { at: "nope" });
    await ask("removeNode", { at: "nope" });
    await ask("removeNode", { at: "forge" });
    await ask("removeNode", { at: "nope", query: "?force=perhaps" });
    await ask("revokeNodeKey", { at: ["nope", NOBODY] });
    await ask("allowOffers", { at: "nope", body: { names: ["has-nas"] } });
    await ask("allowOffers", { at: "forge", body: { names: ["has-nas"] } });
    for (const id of ["getHook", "removeHook", "testHook", "listDeliveries"]) {
      await ask(id, { at: "nope" });
    }
    await ask("getApproval", { at: 999_999 });
    await ask("decideApproval", { at: 999_999, body: { decision: "approved", digest } });
    await ask("changeHook", { at: "nope", body: { enabled: true } });
    await ask("redeliver", { at: ["nope", NOBODY] });
    await ask("revokeToken", { at: NOBODY });
    await ask("revokeJoinToken", { at: NOBODY });
    await ask("addJobs", { body: { jobs: [{ workflow: "nope", step: "x" }] } });
    await ask("addJobs", { body: { jobs: [{ workflow: "exec", step: "command" }] } });
    await ask("retryRun", { at: String(done) });
    // Loom writes no text that is not JSON; somebody else may have.
    await database.sql`update public.loom_runs set raw_input = '{not json' where id = ${String(done)}::uuid`;
    await ask("rerunRun", { at: String(done) });
    await ask("redriveJob", { at: own });
    for (let n = 0; n < 2; n += 1) {
      await ask("createToken", { body: { name: "twice", scopes: ["read", "run"] } });
    }

    // Bodies that cannot be read, and bodies that are invalid.
    for (const { id, at } of [
      { id: "startRun", at: "train" },
      { id: "pauseStrand", at: "train" },
      { id: "pauseSchedule", at: "nightly" },
      { id: "triggerSchedule", at: "nightly" },
      { id: "steerNode", at: ["forge", "pause"] },
      { id: "retryRun", at: String(done) },
      { id: "rerunRun", at: String(done) },
      { id: "addJobs" },
      { id: "explain" },
      { id: "steerNode", at: "forge" },
      { id: "createToken" },
      { id: "beginUpload" },
      { id: "createJoinToken" },
      { id: "allowOffers", at: "forge" },
      { id: "createHook" },
      { id: "changeHook", at: "chat" },
      { id: "decideApproval", at: String(question) },
      { id: "sendSignal", at: "paid" },
    ]) {
      await ask(id, { ...(at && { at }), raw: "{" });
      await ask(id, { ...(at && { at }), ...text });
      await ask(id, { ...(at && { at }), raw: large });
      await ask(id, { ...(at && { at }), body: { nonsense: 1 } });
    }
    const longKey = { "idempotency-key": "x".repeat(300) };
    await ask("resumeStrand", { at: "train", headers: longKey });
    await ask("cancelRun", { at: String(done), headers: longKey });
    await ask("triggerSchedule", { at: "nightly", headers: longKey });
    await ask("resumeSchedule", { at: "nightly", headers: longKey });
    await ask("testHook", { at: "chat", headers: longKey });
    await ask("redeliver", { at: ["chat", NOBODY], headers: longKey });
    await ask("listDeliveries", { at: "chat", query: "?limit=0" });
    await ask("removeHook", { at: "chat" });
    await ask("listScheduleSlots", { at: "nightly", query: "?limit=0" });
    await ask("streamEvents", { query: "?pastMs=-1" });
    for (const id of ["listRuns", "listJobs", "listAudit", "listApprovals"])
      await ask(id, { query: "?limit=0" });
    await ask("getSummary", { query: "?pastMs=0" });

    // Answers that every operation can give: by who asks, and by which name.
    const nothing = makeToken();
    await queue.createToken({ name: "run", digest: digestOf(nothing), scopes: ["run"] });
    const weak = makeToken();
    await queue.createToken({ name: "read", digest: digestOf(weak), scopes: ["read"] });
    const asEverybody = async (asker: typeof ask) => {
      for (const { id, scope } of operations.values()) {
        await asker(id, { at: "1", headers: { authorization: "" } });
        const other = scope === "read" ? nothing : weak;
        await asker(id, { at: "1", headers: { authorization: `Bearer ${other}` } });
      }
    };
    await asEverybody(ask);

    const away: Queue = {
      ...queue,
      findToken: async () => {
        throw new QueueUnavailableError("loom_find_token", "network", "refused");
      },
    };
    const deps = { planner: createInlinePlanner(workflows), log, token: TOKEN };
    const others: { app: App; asked: Asked; ids?: string[] }[] = [
      {
        app: createHub({ ...deps, queue: away }),
        asked: { headers: { authorization: `Bearer ${weak}` } },
      },
      {
        app: createHub({ ...deps, queue, rateLimit: { burst: 0, perSecond: 1 } }),
        asked: {},
      },
      {
        app: createHub({ ...deps, queue, token: undefined }),
        asked: { headers: { authorization: "" } },
        ids: ["openSession"],
      },
    ];
    const agent = async () => ({
      ...{ version: "1", digest: "a".repeat(64), sequence: 2, signature: "", archive: Buffer.of() },
    });
    const giving = createHub({ ...deps, queue, join: { ...NO_JOIN, agent } });
    await database.sql`
      update public.openclaw_instances set facts = ${database.sql.json({ agent: { digest: "b".repeat(64) } })} where name = 'forge'`;
    const asked = { headers: { authorization: `Bearer ${TOKEN}` } };
    // First: after a long while without a call, the database's connection may have been closed.
    others.unshift(
      { app: giving, asked: { ...asked, at: "forge" }, ids: ["upgradeNode"] },
      { app: giving, asked, ids: ["upgradeNodes"] },
    );
    // Without files, and with a store that is full or refuses them.
    const [kept] = await database.sql<{ store: string }[]>`select store from public.loom_files`;
    const download = { at: [String(running), sha256] };
    others.push(
      { app: giving, asked: { body: file }, ids: ["beginUpload"] },
      { app: giving, asked: download, ids: ["downloadFile"] },
    );
    for (const code of ["STORE_FULL", "STORE_REFUSED"] as const) {
      const broken = createHub({ ...deps, queue, files: brokenFiles(code, kept?.store ?? "") });
      const part = { at: [NOBODY, "0"], raw: content, headers: bytes };
      others.push(
        { app: broken, asked: { body: file }, ids: ["beginUpload"] },
        { app: broken, asked: part, ids: ["sendPart"] },
        { app: broken, asked: { at: NOBODY }, ids: ["finishUpload"] },
      );
      // Reading needs no room in the store.
      if (code === "STORE_REFUSED") {
        others.push({ app: broken, asked: download, ids: ["downloadFile"] });
      }
    }
    // Without a signing key.
    const command = { ...asked, at: "exec", body: { input: { argv: ["true"] } } };
    others.push({ app: giving, asked: command, ids: ["startRun"] });
    for (const { app: other, asked, ids } of others) {
      const asker = createAsker(other, document, operations);
      for (const id of ids ?? operations.keys()) {
        await asker.ask(id, { at: "1", ...asked });
        for (const status of asker.seen.get(id) ?? []) seen.get(id)?.add(status);
      }
    }
    const elsewhere: App = {
      request: (path, init) => app.request(`http://evil.example${path}`, init),
    };
    const asker = createAsker(elsewhere, document, operations);
    for (const id of operations.keys()) {
      await asker.ask(id, { at: "1" });
      for (const status of asker.seen.get(id) ?? []) seen.get(id)?.add(status);
    }

    const unreached = [...operations.values()].flatMap(({ id, responses }) =>
      Object.keys(responses)
        .filter((status) => !seen.get(id)?.has(status))
        .map((status) => `${id} ${status}`),
    );
    expect(unreached).toEqual([]);
  });

  test("has an id of its own, a scope, and no address elsewhere", async ({ app }) => {
    const { document, operations } = await read(app);
    expect(operations.size).toBe(operationsOf(document).length);
    for (const { scope } of operations.values()) {
      expect(["read", "run", "exec", "operate", "admin"]).toContain(scope);
    }
    expect(JSON.stringify(document)).not.toMatch(/https?:\/\//);
  });
});

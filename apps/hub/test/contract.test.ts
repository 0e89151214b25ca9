import { createHub } from "@loom/hub";
import { type Queue, QueueUnavailableError } from "@loom/queue";
import { cron } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { digestOf, makeToken } from "../src/access/api-token.ts";
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
const known = new Map(workflows.map((workflow) => [workflow.name, workflow]));

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

const text = { headers: { "content-type": "text/plain" }, raw: "{}" };
const large = `{"input":"${"x".repeat(1_100_000)}"}`;

describe("every operation", () => {
  test("answers with every status that it describes, each as described", {
    timeout: 60_000,
  }, async ({ app, queue }) => {
    const { document, operations } = await read(app);
    const { ask, seen } = createAsker(app, document, operations);

    // Something of every kind to ask for.
    const session = await sayHello(queue, "forge", { capabilities: ["has-gpu", "loom-hub"] });
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

    // What is good.
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
    await ask("revokeToken", { at: String(made.id) });
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

    // What is not there, or not so.
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
      "getJobLog",
      "streamJobLog",
    ]) {
      await ask(id, { at: 999_999 });
      await ask(id, { at: "x" });
    }
    await ask("getNode", { at: "nope" });
    await ask("steerNode", { at: "nope" });
    await ask("revokeToken", { at: NOBODY });
    await ask("addJobs", { body: { jobs: [{ workflow: "nope", step: "x" }] } });
    await ask("retryRun", { at: String(done) });
    await ask("redriveJob", { at: own });
    for (let n = 0; n < 2; n += 1) {
      await ask("createToken", { body: { name: "twice", scopes: ["read", "run"] } });
    }

    // What cannot be read, and what makes no sense.
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
    await ask("listScheduleSlots", { at: "nightly", query: "?limit=0" });
    const longId = { "last-event-id": "x".repeat(300) };
    await ask("streamEvents", { headers: longId });
    await ask("streamRunEvents", { at: String(done), headers: longId });
    for (const id of ["listRuns", "listJobs", "listAudit"]) await ask(id, { query: "?limit=0" });

    // What every operation can answer: by who asks, and by which name.
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
    const deps = { workflows: known, log, token: TOKEN };
    const others: { app: App; asked: Asked }[] = [
      {
        app: createHub({ ...deps, queue: away }),
        asked: { headers: { authorization: `Bearer ${weak}` } },
      },
      {
        app: createHub({ ...deps, queue, rateLimit: { burst: 0, perSecond: 1 } }),
        asked: {},
      },
    ];
    for (const { app: other, asked } of others) {
      const asker = createAsker(other, document, operations);
      for (const id of operations.keys()) {
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
      expect(["read", "run", "operate", "admin"]).toContain(scope);
    }
    expect(JSON.stringify(document)).not.toMatch(/https?:\/\//);
  });
});

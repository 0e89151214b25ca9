import type { Diagnosis } from "@loom/client";
import { createHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import { createResolver, staticSource } from "@loom/tailscale-resolver";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { dispatchWaiting, sayHello, TOKEN, test, workflows } from "./fixtures.ts";

const code = workflows.map(({ name, version }) => workflowCapability(name, version));

/** What one check says. */
const checkOf = (body: unknown, name: string) =>
  (body as Diagnosis).checks.find((check) => check.name === name);

const failing = (body: unknown) =>
  (body as Diagnosis).checks.filter(({ status }) => status === "fail").map(({ name }) => name);

const place = (queue: Queue) => dispatchWaiting(queue).place();

describe("a remote step that stays pending", () => {
  test("is right as long as nothing is wrong", async ({ call, queue }) => {
    await sayHello(queue, "oracle", { capabilities: code });
    await call("POST", "/strands/pinned/run");
    const { body } = await call("GET", "/doctor");
    expect(body).toMatchObject({ status: "ok" });
    expect(checkOf(body, "schema")).toMatchObject({ status: "ok", findings: [] });
    expect(checkOf(body, "tailnet")).toMatchObject({ status: "skipped" });
  });

  test("is seen beside a row that cannot be read, which is named", async ({
    call,
    queue,
    database,
  }) => {
    await sayHello(queue, "oracle", { capabilities: code });
    await sayHello(queue, "forge");
    await database.sql`update public.openclaw_instances set facts = '5' where name = 'forge'`;
    const { body } = await call("GET", "/doctor");
    expect(checkOf(body, "faults")?.findings).toContainEqual(
      expect.objectContaining({
        status: "warn",
        subject: "forge",
        evidence: expect.stringContaining("it cannot be read and is skipped"),
      }),
    );
    expect((await call("GET", "/nodes")).body).toMatchObject({ data: [{ name: "oracle" }] });
  });

  test("because its agent is not running", async ({ call, queue, database }) => {
    await sayHello(queue, "oracle", { capabilities: code });
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
    await call("POST", "/strands/pinned/run");
    const { body } = await call("GET", "/doctor");
    expect(failing(body)).toEqual(["agents"]);
    expect(checkOf(body, "agents")?.findings).toEqual([
      {
        status: "fail",
        subject: "oracle",
        evidence: expect.stringMatching(/^its last heartbeat came \d s ago.*; 1 job waits/),
        fix: expect.stringContaining("start the agent on oracle"),
      },
    ]);
    expect((await call("GET", "/jobs/1/explain")).body).toMatchObject({
      state: "pending",
      host: "oracle",
      code: "no_capable_node_online",
      explanation: { fix: "start the agent of oracle" },
    });
  });

  test("because the name of its host is misspelt", async ({ call, queue }) => {
    await sayHello(queue, "oracel", { capabilities: code });
    await call("POST", "/strands/pinned/run", { allowUnsatisfiable: true });
    const { body } = await call("GET", "/doctor");
    expect(failing(body)).toEqual(["target-hosts"]);
    expect(checkOf(body, "target-hosts")?.findings).toMatchObject([
      { subject: "oracle", fix: "name oracel as the step's host, and start the run again" },
    ]);
    expect((await call("GET", "/jobs/1/explain")).body).toMatchObject({
      code: "no_capable_node",
      explanation: { didYouMean: [{ written: "oracle", known: ["oracel"] }] },
    });
  });

  test("because no node has the capability", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: code });
    await call("POST", "/strands/train/run", { allowUnsatisfiable: true });
    await place(queue);
    const { body } = await call("GET", "/doctor");
    expect(failing(body)).toEqual(["capabilities"]);
    expect(checkOf(body, "capabilities")?.findings).toMatchObject([
      {
        subject: "job 1",
        evidence: expect.stringContaining("no known node offers has-gpu"),
        fix: expect.stringContaining("add has-gpu to forge"),
      },
    ]);
    expect((await call("GET", "/jobs/1/explain")).body).toMatchObject({
      code: "no_capable_node",
      waitingReason: { code: "no_capable_node" },
      explanation: { missing: ["has-gpu"] },
    });
  });

  test("because its node has other code of the workflow", async ({ call, queue }) => {
    await sayHello(queue, "oracle", { capabilities: [workflowCapability("pinned", "0ther")] });
    await call("POST", "/strands/pinned/run");
    const { body } = await call("GET", "/doctor");
    expect(failing(body)).toEqual(["workflow-versions"]);
    expect(checkOf(body, "workflow-versions")?.findings).toMatchObject([
      { status: "fail", subject: "job 1" },
      {
        status: "warn",
        subject: "oracle",
        evidence: expect.stringContaining("pinned in version 0ther, the hub in "),
      },
    ]);
    expect((await call("GET", "/jobs/1/explain")).body).toMatchObject({ code: "no_version" });
  });

  test("because somebody paused its workflow", async ({ call, queue }) => {
    await sayHello(queue, "oracle", { capabilities: code });
    await call("POST", "/strands/pinned/run");
    await call("POST", "/strands/pinned/pause", { note: "new disk" });
    expect(checkOf((await call("GET", "/doctor")).body, "pauses")).toMatchObject({
      status: "warn",
      findings: [{ subject: "pinned", evidence: expect.stringContaining("(new disk)") }],
    });
    expect((await call("GET", "/jobs/1/explain")).body).toMatchObject({ code: "paused_workflow" });
  });

  test("because nobody places", async ({ call, queue, database }) => {
    await sayHello(queue, "oracle", { capabilities: ["has-gpu", ...code] });
    await call("POST", "/strands/train/run");
    await database.sql`update public.loom_ready set run_at = now() - interval '1 minute'`;
    await database.sql`update public.loom_jobs set run_at = now() - interval '1 minute'`;
    expect(failing((await call("GET", "/doctor")).body)).toEqual(["placing"]);
    await place(queue);
    expect(failing((await call("GET", "/doctor")).body)).toEqual([]);
  });

  test("because the database is older than the hub", async ({ call, queue, database }) => {
    await sayHello(queue, "oracle", { capabilities: code });
    await database.sql.begin(async (sql) => {
      await sql`delete from public.loom_migrations where name = '0001_initial'`;
    });
    const { body } = await call("GET", "/doctor");
    await database.sql`insert into public.loom_migrations (name) values ('0001_initial')`;
    expect(failing(body)).toEqual(["schema"]);
    expect(checkOf(body, "schema")?.summary).toContain("0001_initial");
  });
});

describe("the mesh", () => {
  test("shows machines with their agents, and pings when it is asked to", async ({ queue }) => {
    const pinged: string[] = [];
    const resolver = createResolver({
      source: staticSource(
        { hub: "100.64.0.1", forge: "100.64.0.2", nas: "100.64.0.3" },
        { self: "hub" },
      ),
    });
    const app: { request(path: string, init: RequestInit): Response | Promise<Response> } =
      createHub({
        queue,
        planner: createInlinePlanner([]),
        log: pino({ level: "silent" }),
        token: TOKEN,
        tailnetClient: {
          ...resolver,
          ping: async (ip) => {
            pinged.push(ip);
            if (ip === "100.64.0.3") throw new Error("no matching peer");
            return { reached: true, latencyMs: 4, path: { kind: "relay", region: "fra" } };
          },
        },
      });
    const read = async (query = "") => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      return (await app.request(`/api/loom/mesh${query}`, { headers })).json();
    };
    await sayHello(queue, "forge");
    await sayHello(queue, "pi");
    expect(await read()).toMatchObject({
      unknown: null,
      machines: [
        { name: "hub", isHub: true, agent: null, ping: null },
        { name: "forge", agent: { node: "forge", online: true }, ping: null },
        { name: "nas", agent: null },
      ],
      elsewhere: [{ node: "pi" }],
    });
    expect(pinged).toEqual([]);
    expect(await read("?ping=true")).toMatchObject({
      machines: [
        { name: "hub", ping: null },
        { name: "forge", ping: { reached: true, latencyMs: 4, path: { region: "fra" } } },
        { name: "nas", ping: { reached: false, reason: "no matching peer" } },
      ],
    });
  });
});

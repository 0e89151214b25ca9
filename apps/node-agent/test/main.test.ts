import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, copyFileSync, rmSync } from "node:fs";
import path from "node:path";
import { grantNodeKey, sayHello, databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { openRecorder, openSite, startForge, startVisit } from "./forge.ts";
import { startAgent, stateDir } from "./program.ts";

/** Settings that are complete, of a database that is not there. */
const NOWHERE = {
  SUPABASE_URL: "http://127.0.0.1:1",
  SUPABASE_PUBLISHABLE_KEY: "publishable",
  LOOM_NODE_KEY: `loomn_${"k".repeat(43)}`,
  LOOM_NODE_NAME: "forge",
};

/** Mounts and processes of its own: as root, or as root of a user namespace. */
const UNSHARE = ["--user", "--map-root-user"];
const mayUnshare =
  spawnSync("unshare", [...UNSHARE, "--mount", "--pid", "--fork", "true"]).status === 0;

const STACK = /\n\s+at /;

describe("loom-agent", () => {
  test("reports what its machine offers, its version and its lease", async ({
    database,
    queue,
  }) => {
    await startForge(database, { LOOM_SLOTS: "3", LOOM_LEASE_MS: "7000" });
    await expect
      .poll(() => queue.listNodes())
      .toMatchObject([
        {
          name: "forge",
          online: true,
          slots: 3,
          agentVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
          capabilities: expect.arrayContaining(["loom-agent", "has-site", "workflow:visit"]),
        },
      ]);
    expect(await database.sql`select lease_ms from public.loom_node_sessions`).toEqual([
      { lease_ms: 7_000 },
    ]);
  });

  // An agent asks for work with its heartbeats, and claims only when there is some.
  test("polls as often as it is configured to", { timeout: 60_000 }, async ({
    database,
    queue,
  }) => {
    const { url, calls } = await openRecorder(database.url);
    await startForge({ ...database, url, sql: database.sql });
    const count = (name: string) => calls.filter((call) => call === name).length;
    await expect.poll(() => count("loom_exchange")).toBeGreaterThan(20);
    // It says all in one call.
    expect(count("loom_heartbeat")).toBe(0);
    const site = await openSite((response) => response.end("hello"));
    const { runId } = await startVisit(queue, site.url);
    await expect.poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
  });

  test("at SIGTERM finishes what it runs, and ends with 0", async ({ database, queue }) => {
    const agent = await startForge(database);
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    const response = await site.visited;

    const stopping = agent.said("stopping: finishing what runs, claiming nothing more");
    agent.child.kill("SIGTERM");
    await stopping;
    response.end("welcome");
    expect(await agent.exited).toBe(0);
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "succeeded", ranOn: "forge", result: { node: "forge", heard: "welcome" } },
    ]);
  });

  test("gives back what does not end within its grace, at no cost", async ({ database, queue }) => {
    const agent = await startForge(database, { LOOM_GRACE_MS: "0" });
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    await site.visited;
    agent.child.kill("SIGINT");
    expect(await agent.exited).toBe(0);
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "pending", attempt: 0, crashRestarts: 0 },
    ]);
  });

  test("ends when this machine has started another agent of its name", async ({ database }) => {
    const LOOM_STATE_DIR = stateDir();
    const first = await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    // Its socket is gone, so the second one cannot know of it.
    rmSync(path.join(LOOM_STATE_DIR, "forge.sock"));
    await startForge(database, { LOOM_STATE_DIR });
    expect(await first.exited).toBe(5);
    expect(first.output.at(-1)).toContain("loom-agent: another agent started as forge");
  });

  test("leaves a name alone that another machine has, with 6, and says which one", async ({
    database,
    queue,
  }) => {
    const attic = { id: randomUUID(), boot: randomUUID(), upMs: 3_600_000, host: "attic" };
    await sayHello(queue, "forge", { machine: attic });
    const second = await startForge(database);
    expect(await second.exited).toBe(6);
    expect(second.output.at(-1)).toMatch(
      /^loom-agent: the node name forge is in use on attic \(machine id [0-9a-f-]{36}\).*LOOM_NODE_NAME/,
    );
  });

  // The service tries again: the other one may have ended, and the name is free when its lease is over.
  test("leaves a name alone that another agent of this machine has, with 5", async ({
    database,
    queue,
  }) => {
    await startForge(database);
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    const response = await site.visited;
    const second = await startForge(database);
    expect(await second.exited).toBe(5);
    expect(second.output.at(-1)).toContain("of this machine that has another state folder");
    // The jobs of the first agent are not given back.
    response.end("welcome");
    await expect.poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
    expect((await queue.getRun(runId)).jobs).toMatchObject([{ attempt: 1, crashRestarts: 0 }]);
  });

  test("has its name back at once after it was killed", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    const first = await startForge(database, { LOOM_STATE_DIR });
    await expect.poll(() => queue.listNodes()).toHaveLength(1);
    first.child.kill("SIGKILL");
    await first.exited;
    await startForge(database, { LOOM_STATE_DIR });
    await expect.poll(() => queue.listNodes()).toMatchObject([{ online: true, epoch: 2 }]);
  });

  test("logs no key, and warns of one that can do everything", async ({ database }) => {
    const agent = await startForge(database, {
      LOOM_NODE_KEY: "",
      SUPABASE_SERVICE_ROLE_KEY: database.serviceKey,
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    const output = agent.output.join("\n");
    expect(output).toContain("SUPABASE_SERVICE_ROLE_KEY can do everything");
    expect(output).not.toContain(database.serviceKey);
  });

  // It was logged as it came: whatever a proxy quotes is in the error.
  test("logs no key that an answer quotes", async () => {
    const { url } = await openSite((response) =>
      response
        .writeHead(503, { "content-type": "application/json" })
        .end(
          JSON.stringify({ message: `no route for ${response.req.headers["x-loom-node-key"]}` }),
        ),
    );
    const agent = startAgent({ ...NOWHERE, SUPABASE_URL: url });
    expect(await agent.said("the database did not answer")).toMatchObject({
      err: { message: expect.stringContaining("no route for [redacted]") },
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    expect(agent.output.join("\n")).not.toContain(NOWHERE.LOOM_NODE_KEY);
  });

  test("ends when its key is another node's, saying so without a stack", async ({ database }) => {
    const key = await grantNodeKey(database, "anvil");
    const agent = await startForge(database, { LOOM_NODE_KEY: key });
    expect(await agent.exited).toBe(4);
    const output = agent.output.join("\n");
    expect(output).toMatch(/loom-agent: .*no node key that is valid for this call.*LOOM_NODE_KEY/);
    expect(output).not.toContain(key);
    expect(output).not.toMatch(STACK);
  });

  test("ends when the database lacks Loom's functions, saying what to do", async () => {
    const { url } = await openSite((response) =>
      response
        .writeHead(404, { "content-type": "application/json" })
        .end(JSON.stringify({ code: "PGRST202", message: "no function" })),
    );
    const agent = startAgent({ ...NOWHERE, SUPABASE_URL: url });
    expect(await agent.exited).toBe(5);
    expect(agent.output.at(-1)).toMatch(/loom-agent: .*Apply the migrations \(loom-hub migrate\)/);
    expect(agent.output.join("\n")).not.toMatch(STACK);
  });

  test("goes on while the database is away, and says so without a stack", async () => {
    const { url } = await openSite((response) => response.socket?.destroy());
    const agent = startAgent({ ...NOWHERE, SUPABASE_URL: url });
    expect(await agent.said("the database did not answer")).toMatchObject({
      err: { code: "QUEUE_UNAVAILABLE" },
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    expect(agent.output.join("\n")).not.toContain('"stack"');
  });

  // Each ended the agent with exit code 4 or 5, after which systemd left it down.
  test.for([
    { title: "a captive portal", status: 403, type: "text/html", body: "<h1>Please log in</h1>" },
    { title: "a proxy that wants a login", status: 401, type: "text/html", body: "<h1>No</h1>" },
    { title: "an empty JSON body", status: 401, type: "application/json", body: "{}" },
    { title: "an empty answer", status: 200, type: "application/json", body: "" },
  ])("goes on behind $title", { timeout: 60_000 }, async ({ status, type, body }) => {
    const { url } = await openSite((response) =>
      response.writeHead(status, { "content-type": type }).end(body),
    );
    const agent = startAgent({ ...NOWHERE, SUPABASE_URL: url });
    expect(await agent.said("the database did not answer")).toMatchObject({
      err: { code: "QUEUE_UNAVAILABLE" },
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
  });

  // launchd starts a service again after any other code than 0.
  test("ends with 0 where its service manager does not know that 2 is final", async () => {
    const agent = startAgent({ LOOM_NODE_NAME: "My Node", LOOM_FINAL_EXIT_CODES: "2 4 6" });
    expect(await agent.exited).toBe(0);
    expect(agent.output.join("\n")).toContain("LOOM_NODE_NAME: ");
  });

  test("lists every problem of its environment, with exit code 2", async () => {
    const agent = startAgent({ LOOM_NODE_NAME: "My Node" });
    expect(await agent.exited).toBe(2);
    const output = agent.output.join("\n");
    for (const name of ["SUPABASE_URL", "LOOM_NODE_KEY", "LOOM_NODE_NAME"]) {
      expect(output).toContain(`  ${name}: `);
    }
    expect(output).not.toMatch(STACK);
  });

  test.skipIf(!mayUnshare)("does not start with a journal that it cannot write", async () => {
    const LOOM_STATE_DIR = stateDir();
    // An empty file can be made on this disk, and the small ones of a start; no outcome.
    const script = `mount -t tmpfs -o size=200k tmpfs "$0" && head -c 150000 /dev/zero > "$0/other" && exec "$@"`;
    const agent = startAgent({ ...NOWHERE, LOOM_STATE_DIR }, ["start"], {
      prefix: ["unshare", ...UNSHARE, "--mount", "sh", "-c", script, LOOM_STATE_DIR],
    });
    expect(await agent.exited).toBe(5);
    expect(agent.output.at(-1)).toMatch(
      /^loom-agent: the journal in .* cannot be written \(ENOSPC.*\): free disk space/,
    );
    expect(agent.output.join("\n")).not.toMatch(STACK);
  });

  test.runIf(process.getuid?.() === 0)(
    "says what to set for a user without HOME that is not in the list of users",
    async () => {
      // The user may read nothing of the one that runs the tests.
      const node = path.join(stateDir(), "node");
      copyFileSync(process.execPath, node);
      chmodSync(path.dirname(node), 0o755);
      const agent = startAgent({ ...NOWHERE, LOOM_STATE_DIR: "" }, ["start"], {
        node,
        uid: 54_321,
        cwd: "/",
      });
      expect(await agent.exited).toBe(2);
      expect(agent.output).toEqual([
        expect.stringMatching(/^loom-agent: HOME is not set.*uid 54321.*set LOOM_STATE_DIR/),
      ]);
    },
  );

  test.skipIf(!mayUnshare)(
    "warns in its doctor about a first process that reaps nobody",
    // Two programs start, one after the other.
    { timeout: 60_000 },
    async () => {
      const check = async (prefix: string[]) => {
        const agent = startAgent(NOWHERE, ["doctor", "--json"], { prefix });
        await agent.exited;
        const { checks } = JSON.parse(agent.output.join("")) as { checks: { name: string }[] };
        return checks.find(({ name }) => name === "processes");
      };
      // There, the doctor itself is the first process.
      const alone = ["unshare", ...UNSHARE, "--pid", "--fork", "--mount-proc"];
      expect(await check(alone)).toMatchObject({
        result: "warn",
        detail: expect.stringContaining("PID 1"),
        fix: expect.stringContaining("docker run --init"),
      });
      expect(await check([])).toMatchObject({ result: "ok" });
    },
  );

  test("refuses a workflow folder that is not there, with exit code 2", async () => {
    const agent = startAgent({ ...NOWHERE, LOOM_WORKFLOWS_DIR: "/nowhere" });
    expect(await agent.exited).toBe(2);
    expect(agent.output.at(-1)).toContain("LOOM_WORKFLOWS_DIR");
  });

  test.for([
    { args: ["--help"], code: 0, says: "usage: loom-agent" },
    { args: ["begin"], code: 2, says: 'there is no command "begin"' },
    { args: ["join"], code: 2, says: "join needs the hub's address" },
    { args: ["join", "nonsense"], code: 2, says: "name the hub by its address" },
    { args: ["join", "http://127.0.0.1:1", "loomj_x"], code: 2, says: "seen by every user" },
    { args: ["leave"], code: 5, says: "this machine has joined no hub" },
    { args: ["resume", "--wait"], code: 2, says: "resume takes no --wait" },
    { args: ["pause", "--for", "soon"], code: 2, says: "is not a duration" },
  ])("answers to $args with exit code $code", async ({ args, code, says }) => {
    const agent = startAgent({}, args);
    expect(await agent.exited).toBe(code);
    expect(agent.output.join("\n")).toContain(says);
  });
});

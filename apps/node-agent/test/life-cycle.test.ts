import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import path from "node:path";
import { text } from "node:stream/consumers";
import { databaseTest, grantNodeKey, only } from "@loom/queue/testing";
import { createWakeClient, openWakeServer, type WakeAddress } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { openRecorder, openSite, startForge, startVisit } from "./forge.ts";
import { runAgent, stateDir } from "./program.ts";

const test = databaseTest;

/** Long enough that nothing in a test happens because of it. */
const NEVER_POLLS = { POLL_INTERVAL_MS: "600000" };

/** Waits for a fact, however busy the machine is. */
const poll = <Value>(read: () => Value) => expect.poll(read);

/** What an agent says of itself at its socket. */
const get = (folder: string, at: string) => ask(folder, "GET", at);

async function ask(
  folder: string,
  method: "GET" | "POST",
  at: string,
  sent?: string | Buffer,
): Promise<{ status: number; body: string }> {
  const socketPath = path.join(folder, "forge.sock");
  const asked = request({ socketPath, method, path: at, agent: false });
  // In parts, without a length.
  if (sent !== undefined) asked.write(sent);
  asked.end();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    asked.on("response", resolve).on("error", reject);
  });
  return { status: response.statusCode ?? 0, body: await text(response) };
}

/** A folder with programs to be found first in PATH. */
function programs(scripts: Record<string, string>) {
  const folder = stateDir();
  for (const [name, script] of Object.entries(scripts)) {
    const file = path.join(folder, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }
  return { folder, PATH: `${folder}:${process.env.PATH}` };
}

describe("loom-agent status", () => {
  test("reports the agent's state, to its own user only", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    const agent = await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    const site = await openSite();
    await startVisit(queue, site.url);
    await site.visited;
    await poll(async () => (await get(LOOM_STATE_DIR, "/readyz")).status).toBe(200);
    // It learns that with its first heartbeat.
    await poll(async () => JSON.parse((await get(LOOM_STATE_DIR, "/status")).body).nodeStatus).toBe(
      "active",
    );
    expect(statSync(path.join(LOOM_STATE_DIR, "forge.sock")).mode & 0o777).toBe(0o600);
    expect(await get(LOOM_STATE_DIR, "/healthz")).toEqual({ status: 200, body: '{"status":"ok"}' });

    const { code, output } = await runAgent({ LOOM_STATE_DIR }, ["status", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      schema: "loom.agent-status/v1",
      node: "forge",
      pid: agent.child.pid,
      nodeStatus: "active",
      ready: true,
      slots: 1,
      jobs: [{ workflow: "visit", step: "ask" }],
      capabilities: expect.arrayContaining(["has-site", "loom-agent"]),
      wakeServer: { address: "127.0.0.1" },
      workflows: { visit: expect.any(String) },
      problems: [],
    });
    const plain = await runAgent({ LOOM_STATE_DIR }, ["status"]);
    expect(plain.output).toContain("running    1 of 1");
    const { facts } = only(await queue.listNodes());
    expect(facts).toMatchObject({
      workflows: { visit: expect.any(String) },
      sources: { declared: ["has-site"] },
    });
  });

  test("says so, with 3, where no agent runs", async () => {
    const { code, output } = await runAgent({}, ["status"]);
    expect(code).toBe(3);
    expect(output).toBe(
      "loom-agent: no agent runs here for this user; loom-agent start starts one",
    );
  });

  test("reports a broken workflow file by its name, and works all the same", async ({
    database,
    queue,
  }) => {
    const LOOM_STATE_DIR = stateDir();
    const folder = path.join(import.meta.dirname, "../.loom", path.basename(LOOM_STATE_DIR));
    mkdirSync(folder, { recursive: true });
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(path.join(folder, "broken.ts"), "export const = 1;");
    writeFileSync(path.join(folder, "visit.ts"), `export * from "../../test/workflows/visit.ts";`);
    await startForge(database, { LOOM_STATE_DIR, LOOM_WORKFLOWS_DIR: folder });
    const { output } = await runAgent({ LOOM_STATE_DIR }, ["status", "--json"]);
    expect(JSON.parse(output)).toMatchObject({
      problems: [{ file: path.join(folder, "broken.ts") }],
      workflows: { visit: expect.any(String) },
    });
    const site = await openSite((response) => response.end("hello"));
    const { runId } = await startVisit(queue, site.url);
    await poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
  });

  test("is not started twice for one node and one user", async ({ database }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR });
    const { code, output } = await runAgent(
      {
        LOOM_STATE_DIR,
        SUPABASE_URL: database.url,
        SUPABASE_SERVICE_ROLE_KEY: database.serviceKey,
        LOOM_NODE_NAME: "forge",
      },
      ["start"],
    );
    expect(code).toBe(5);
    expect(output).toContain("an agent answers at");
  });
});

describe("loom-agent pause, drain, resume", () => {
  test("say in plain words what was asked wrongly", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    await poll(async () => (await get(LOOM_STATE_DIR, "/readyz")).status).toBe(200);
    const note = "note is why, for people: a text of up to 2000 characters";
    const forMs =
      "forMs is how long, in whole milliseconds: a number from 0 to 31536000000, which is a year";
    const noJson = 'the body is not JSON in UTF-8, such as {"note": "gaming", "forMs": 3600000}';
    for (const [body, message] of [
      ["{", noJson],
      ["", noJson],
      [Buffer.from('{"note": "\xff"}', "latin1"), noJson],
      ["[]", 'the body is an object, such as {"note": "gaming", "forMs": 3600000}'],
      ['{"note": 5}', note],
      [JSON.stringify({ note: "x".repeat(2_001) }), note],
      ['{"forMs": -1}', forMs],
      ['{"forMs": 1.5}', forMs],
      ['{"note": 5, "forMs": "1h"}', `${note}; ${forMs}`],
      ['{"until": 5}', "there is no until: only note and forMs"],
      [`{"note": "${"x".repeat(20_000)}"}`, "the body is longer than 16384 bytes"],
    ] as const) {
      expect(await ask(LOOM_STATE_DIR, "POST", "/pause", body)).toEqual({
        status: 400,
        body: JSON.stringify({ code: "INVALID_ARGUMENT", message }),
      });
    }
    expect(await ask(LOOM_STATE_DIR, "POST", "/resume", '{"note": "why"}')).toEqual({
      status: 400,
      body: expect.stringMatching(/"INVALID_ARGUMENT","message":"a status is active, or paused/),
    });
    expect(only(await queue.listNodes())).toMatchObject({ status: "active" });
  });

  test("keeps work away until it is resumed", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    await poll(async () => (await get(LOOM_STATE_DIR, "/readyz")).status).toBe(200);
    const paused = await runAgent({ LOOM_STATE_DIR }, ["pause", "--note", "gaming", "--for", "2h"]);
    expect(paused).toMatchObject({
      code: 0,
      output: expect.stringContaining("takes no more work"),
    });
    expect(only(await queue.listNodes())).toMatchObject({
      status: "paused",
      statusNote: "gaming",
      statusUntil: expect.any(Date),
    });
    const site = await openSite((response) => response.end("hello"));
    const { runId } = await startVisit(queue, site.url);
    await poll(async () => JSON.parse((await get(LOOM_STATE_DIR, "/status")).body).nodeStatus).toBe(
      "paused",
    );
    expect(await queue.getRun(runId)).toMatchObject({ jobs: [{ state: "pending" }] });

    const resumed = await runAgent({ LOOM_STATE_DIR }, ["resume", "--json"]);
    expect(JSON.parse(resumed.output)).toMatchObject({ status: "active" });
    await poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
  });

  test("is shown by status at once", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3600000" });
    await poll(() => queue.listNodes()).toHaveLength(1);
    const statusAfter = async (verb: string) => {
      await runAgent({ LOOM_STATE_DIR }, [verb]);
      return JSON.parse((await get(LOOM_STATE_DIR, "/status")).body).nodeStatus;
    };
    expect(await statusAfter("pause")).toBe("paused");
    expect(await statusAfter("drain")).toBe("draining");
    expect(await statusAfter("resume")).toBe("active");
  });

  test("drains: what runs is finished, and waited for", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR });
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    const response = await site.visited;
    const draining = runAgent({ LOOM_STATE_DIR }, ["drain", "--wait", "--json"]);
    await poll(async () => only(await queue.listNodes()).status).toBe("draining");
    response.end("at last");
    const { code, output } = await draining;
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ status: "draining", running: 0 });
    expect((await queue.getRun(runId)).jobs).toMatchObject([{ state: "succeeded" }]);
  });

  test("gives back what still runs at the deadline of a drain, at no cost", async ({
    database,
    queue,
  }) => {
    await startForge(database, { LOOM_LEASE_MS: "3000" });
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    await site.visited;
    await queue.setNodeStatus("forge", { status: "draining", forMs: 0 });
    await poll(async () => (await queue.getRun(runId)).jobs).toMatchObject([
      { state: "pending", attempt: 0, crashRestarts: 0 },
    ]);
  });

  test("is not known to the database before its first hello: 3", async () => {
    const LOOM_STATE_DIR = stateDir();
    const { code } = await runAgent({ LOOM_STATE_DIR }, ["pause"]);
    expect(code).toBe(3);
  });
});

describe("loom-agent start", () => {
  test("does not wait for its grace when it is signalled twice", async ({ database, queue }) => {
    const agent = await startForge(database, { LOOM_GRACE_MS: "600000" });
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    await site.visited;
    const first = agent.said("stopping: finishing what runs, claiming nothing more");
    agent.child.kill("SIGTERM");
    await first;
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    expect((await queue.getRun(runId)).jobs).toMatchObject([{ state: "pending", attempt: 0 }]);
  });

  test("is not held up by a program that hangs, and offers what others found", async ({
    database,
    queue,
  }) => {
    const { PATH } = programs({ "nvidia-smi": "exec /bin/sleep 600", docker: "echo 27.0.1" });
    const agent = await startForge(database, { PATH });
    expect(agent.output.filter((line) => line.includes('"probe":"nvidia"'))).toEqual([]);
    await poll(async () => (await queue.listNodes())[0]?.capabilities).toEqual(
      expect.arrayContaining(["docker", "docker-version=27.0.1", "has-site"]),
    );
    await poll(async () => only(await queue.listNodes()).facts.probes).toContainEqual(
      expect.objectContaining({ name: "nvidia", result: "timeout" }),
    );
  });

  test("takes back what a probe no longer finds, and what was offered for it", async ({
    database,
    queue,
  }) => {
    const { folder, PATH } = programs({ docker: "echo 27.0.1" });
    const agent = await startForge(database, { PATH, ...NEVER_POLLS });
    await poll(async () => (await queue.listNodes())[0]?.capabilities).toContain("docker");
    const before = only(await queue.listNodes()).capabilitiesVersion;
    writeFileSync(path.join(folder, "docker"), "#!/bin/sh\nexit 1\n");
    agent.child.kill("SIGHUP");
    await poll(async () => only(await queue.listNodes()).capabilities).not.toContain("docker");
    expect(only(await queue.listNodes())).toMatchObject({
      capabilitiesVersion: before + 1,
      capabilities: expect.arrayContaining(["has-site"]),
    });
  });

  test("polls at once when it is woken, and wakes the caller when it has settled", async ({
    database,
    queue,
  }) => {
    const { url, lastAnswered } = await openRecorder(database.url);
    const agent = await startForge({ ...database, url, sql: database.sql }, NEVER_POLLS);
    // It reports its probes, and claims once more. After that, only a wake-up makes it claim.
    await poll(async () => (await queue.listNodes())[0]?.facts.probes).toHaveLength(5);
    await poll(lastAnswered).toBe("loom_exchange");
    const { tailnetAddress, wakePort } = only(await queue.listNodes());
    expect(tailnetAddress).toBe("127.0.0.1");
    const settled = Promise.withResolvers<WakeAddress | undefined>();
    const hub = await openWakeServer({ address: "127.0.0.1", onWake: settled.resolve });
    onTestFinished(() => hub.close());

    const site = await openSite((response) => response.end("hello"));
    const { runId } = await startVisit(queue, site.url);
    expect(await queue.listWakeAddresses()).toMatchObject([
      { name: "forge", tailnetAddress, wakePort },
    ]);
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    createWakeClient({ log, replyPort: () => hub.port }).wake({
      address: "127.0.0.1",
      port: wakePort ?? 0,
    });
    expect(await settled.promise).toBeUndefined();
    expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
  });
});

describe("loom-agent doctor", () => {
  test("finds all well, and shows every probe", async ({ database }) => {
    const LOOM_STATE_DIR = stateDir();
    const { PATH } = programs({ docker: "echo 27.0.1" });
    const env = {
      PATH,
      LOOM_STATE_DIR,
      LOOM_PROBE_BINARIES: "sh",
      LOOM_PROBE_CREDENTIALS: "nas=NAS_KEY",
    };
    await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    await poll(async () => (await get(LOOM_STATE_DIR, "/readyz")).status).toBe(200);
    const { code, output } = await runAgent(
      {
        ...env,
        SUPABASE_URL: database.url,
        SUPABASE_PUBLISHABLE_KEY: database.anonKey,
        LOOM_NODE_KEY: await grantNodeKey(database, "forge"),
        LOOM_NODE_NAME: "forge",
      },
      ["doctor", "--json"],
    );
    const report = JSON.parse(output);
    expect(report).toMatchObject({ schema: "loom.agent-doctor/v1", ok: true });
    expect(code).toBe(0);
    expect(report.checks).toContainEqual(
      expect.objectContaining({ name: "database", result: "ok" }),
    );
    expect(report.probes).toMatchObject([
      { name: "system", result: "ok" },
      { name: "disk", result: "ok" },
      { name: "nvidia" },
      { name: "docker", result: "ok", evidence: "daemon 27.0.1", tookMs: expect.any(Number) },
      { name: "tailscale" },
      { name: "binary sh", result: "ok" },
      { name: "credentials nas", result: "absent", evidence: "NAS_KEY missing" },
    ]);
  });

  test("says what is wrong and how to fix it, with 1", async () => {
    const folder = stateDir();
    const LOOM_NODE_KEY_FILE = path.join(folder, "key");
    writeFileSync(LOOM_NODE_KEY_FILE, "key", { mode: 0o644 });
    const { code, output } = await runAgent(
      { SUPABASE_URL: "http://127.0.0.1:1", LOOM_NODE_KEY_FILE, LOOM_NODE_NAME: "forge" },
      ["doctor"],
    );
    expect(code).toBe(1);
    expect(output).toContain("fail  database: ");
    expect(output).toContain(`→ chmod 600 ${LOOM_NODE_KEY_FILE}`);
  });
});

/** A Node that is not in npm's cache, where the one of these tests may be. */
const NODE = { node: `exec ${process.execPath} "$@"` };

describe("loom-agent install", () => {
  const KEY = `loomn_${"k".repeat(43)}`;
  const settings = {
    SUPABASE_URL: "https://abc.supabase.co",
    SUPABASE_PUBLISHABLE_KEY: "publishable",
    LOOM_NODE_KEY: KEY,
    LOOM_CAPABILITIES: "has-gpu",
    LOOM_GRACE_MS: "60000",
  };

  test("prints the unit and changes nothing", async () => {
    const HOME = stateDir();
    const { PATH } = programs(NODE);
    const { code, output } = await runAgent({ ...settings, HOME, PATH }, [
      "install",
      "--user",
      "--print",
    ]);
    expect(code).toBe(0);
    expect(output).toContain("RestartPreventExitStatus=2 4 6");
    expect(output).toContain("TimeoutStopSec=90");
    expect(output).toMatch(/^ExecStart=\/.*main\.ts start$/m);
    expect(() => statSync(path.join(HOME, ".config"))).toThrow("ENOENT");
  });

  test("writes settings and key for their owner only, starts the service, and removes it", async () => {
    const HOME = stateDir();
    const { folder, PATH } = programs({
      ...NODE,
      systemctl: 'echo "$@" >> "$(dirname "$0")/calls"',
    });
    const { code, output } = await runAgent({ ...settings, HOME, PATH }, [
      "install",
      "--user",
      "--json",
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(output)).toEqual({
      schema: "loom.agent-install/v1",
      installed: path.join(HOME, ".config/systemd/user/loom-agent.service"),
      settings: path.join(HOME, ".config/loom-agent/agent.env"),
      key: path.join(HOME, ".config/loom-agent/node-key"),
    });
    const { settings: envFile, key } = JSON.parse(output);
    expect(readFileSync(key, "utf8")).toBe(`${KEY}\n`);
    expect(readFileSync(envFile, "utf8")).toBe(
      'SUPABASE_URL="https://abc.supabase.co"\nSUPABASE_PUBLISHABLE_KEY="publishable"\nLOOM_CAPABILITIES="has-gpu"\nLOOM_GRACE_MS="60000"\n',
    );
    for (const file of [envFile, key]) expect(statSync(file).mode & 0o777).toBe(0o600);

    expect((await runAgent({ HOME, PATH }, ["uninstall", "--user"])).code).toBe(0);
    expect(readFileSync(path.join(folder, "calls"), "utf8").split("\n")).toEqual([
      "--user daemon-reload",
      "--user enable --now loom-agent.service",
      "--user disable --now loom-agent.service",
      "--user daemon-reload",
      "",
    ]);
    expect((await runAgent({ HOME, PATH }, ["uninstall", "--user"])).code).toBe(5);
    expect(readFileSync(key, "utf8")).toBe(`${KEY}\n`);
  });

  test.for([
    { title: "settings are missing", env: {}, code: 2, says: "SUPABASE_URL" },
    { title: "nobody is named to run steps as", env: settings, code: 5, says: "--run-as" },
  ])("says what it needs when $title", async ({ env, code, says }) => {
    const { PATH } = programs(NODE);
    const result = await runAgent({ ...env, HOME: stateDir(), PATH }, [
      "install",
      "--system",
      "--print",
    ]);
    expect(result.code).toBe(code);
    expect(result.output).toContain(says);
  });

  test("says what failed where there is no systemd to talk to", async () => {
    const { PATH } = programs({
      ...NODE,
      systemctl: "echo 'Failed to connect to bus' >&2; exit 1",
    });
    const result = await runAgent({ ...settings, HOME: stateDir(), PATH }, ["install", "--user"]);
    expect(result.code).toBe(5);
    expect(result.output).toContain("Failed to connect to bus");
  });
});

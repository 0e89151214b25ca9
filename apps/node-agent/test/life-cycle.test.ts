import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import path from "node:path";
import { text } from "node:stream/consumers";
import { databaseTest, only } from "@loom/queue/testing";
import { type BellAddress, createRinger, openDoorbell } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { openDoor, startForge, startVisit } from "./forge.ts";
import { runAgent, stateDir } from "./program.ts";

const test = databaseTest;

/** Long enough that nothing in a test happens because of it. */
const NEVER_POLLS = { POLL_INTERVAL_MS: "600000" };

/** Waits for a fact, however busy the machine is. */
const poll = <Value>(read: () => Value) => expect.poll(read, { timeout: 15_000 });

/** What an agent says of itself at its socket. */
async function get(folder: string, at: string): Promise<{ status: number; body: string }> {
  const asked = request({ socketPath: path.join(folder, "forge.sock"), path: at, agent: false });
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
  test("tells what the agent is at, to its own user only", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    const agent = await startForge(database, { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" });
    const door = await openDoor();
    await startVisit(queue, door.url);
    await door.visited;
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
      capabilities: expect.arrayContaining(["has-door", "loom-agent"]),
      doorbell: { address: "127.0.0.1" },
      workflows: { visit: expect.any(String) },
      problems: [],
    });
    const plain = await runAgent({ LOOM_STATE_DIR }, ["status"]);
    expect(plain.output).toContain("running    1 of 1");
    const { facts } = only(await queue.listNodes());
    expect(facts).toMatchObject({
      workflows: { visit: expect.any(String) },
      sources: { declared: ["has-door"] },
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
    const door = await openDoor((response) => response.end("hello"));
    const { runId } = await startVisit(queue, door.url);
    await poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
  });

  test("is not started twice for one node and one user", async ({ database }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR });
    const { code, output } = await runAgent(
      {
        LOOM_STATE_DIR,
        SUPABASE_URL: database.url,
        LOOM_NODE_KEY: database.serviceKey,
        LOOM_NODE_NAME: "forge",
      },
      ["start"],
    );
    expect(code).toBe(5);
    expect(output).toContain("an agent answers at");
  });
});

describe("loom-agent pause, drain, resume", () => {
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
    const door = await openDoor((response) => response.end("hello"));
    const { runId } = await startVisit(queue, door.url);
    await poll(async () => JSON.parse((await get(LOOM_STATE_DIR, "/status")).body).nodeStatus).toBe(
      "paused",
    );
    expect(await queue.getRun(runId)).toMatchObject({ jobs: [{ state: "pending" }] });

    const resumed = await runAgent({ LOOM_STATE_DIR }, ["resume", "--json"]);
    expect(JSON.parse(resumed.output)).toMatchObject({ status: "active" });
    await poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
  });

  test("drains: what runs is finished, and waited for", async ({ database, queue }) => {
    const LOOM_STATE_DIR = stateDir();
    await startForge(database, { LOOM_STATE_DIR });
    const door = await openDoor();
    const { runId } = await startVisit(queue, door.url);
    const response = await door.visited;
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
    const door = await openDoor();
    const { runId } = await startVisit(queue, door.url);
    await door.visited;
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
  test("does not wait for its grace when it is told twice", async ({ database, queue }) => {
    const agent = await startForge(database, { LOOM_GRACE_MS: "600000" });
    const door = await openDoor();
    const { runId } = await startVisit(queue, door.url);
    await door.visited;
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
      expect.arrayContaining(["docker", "docker-version=27.0.1", "has-door"]),
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
      capabilities: expect.arrayContaining(["has-door"]),
    });
  });

  test("looks at once when its doorbell rings, and rings back when it has settled", async ({
    database,
    queue,
  }) => {
    const agent = await startForge(database, NEVER_POLLS);
    // When everything has been reported, nothing but a ring makes it look.
    await poll(async () => (await queue.listNodes())[0]?.facts.probes).toHaveLength(5);
    const { tailnetAddress, doorbellPort } = only(await queue.listNodes());
    expect(tailnetAddress).toBe("127.0.0.1");
    const settled = Promise.withResolvers<BellAddress | undefined>();
    const hub = await openDoorbell({ address: "127.0.0.1", onRing: settled.resolve });
    onTestFinished(() => hub.close());

    const door = await openDoor((response) => response.end("hello"));
    const { runId } = await startVisit(queue, door.url);
    expect(await queue.listDoorbells()).toEqual([{ name: "forge", tailnetAddress, doorbellPort }]);
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    createRinger({ log, ringBack: () => hub.port }).ring({
      address: "127.0.0.1",
      port: doorbellPort ?? 0,
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
        LOOM_NODE_KEY: await database.signKey({ role: "service_role", node: "forge" }),
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

  test("says what is wrong and how to mend it, with 1", async () => {
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

describe("loom-agent install", () => {
  const settings = {
    SUPABASE_URL: "https://abc.supabase.co",
    LOOM_NODE_KEY: "the-node-key",
    LOOM_CAPABILITIES: "has-gpu",
    LOOM_GRACE_MS: "60000",
  };

  test("prints the unit and changes nothing", async () => {
    const HOME = stateDir();
    const { code, output } = await runAgent({ ...settings, HOME }, [
      "install",
      "--user",
      "--print",
    ]);
    expect(code).toBe(0);
    expect(output).toContain("RestartPreventExitStatus=2 4");
    expect(output).toContain("TimeoutStopSec=90");
    expect(output).toMatch(/^ExecStart=\/.*main\.ts start$/m);
    expect(() => statSync(path.join(HOME, ".config"))).toThrow("ENOENT");
  });

  test("writes settings and key for their owner only, starts the service, and removes it", async () => {
    const HOME = stateDir();
    const { folder, PATH } = programs({ systemctl: 'echo "$@" >> "$(dirname "$0")/calls"' });
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
    expect(readFileSync(key, "utf8")).toBe("the-node-key\n");
    expect(readFileSync(envFile, "utf8")).toBe(
      'SUPABASE_URL="https://abc.supabase.co"\nLOOM_CAPABILITIES="has-gpu"\nLOOM_GRACE_MS="60000"\n',
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
    expect(readFileSync(key, "utf8")).toBe("the-node-key\n");
  });

  test.for([
    { title: "settings are missing", env: {}, code: 2, says: "SUPABASE_URL" },
    { title: "nobody is named to run steps as", env: settings, code: 5, says: "--run-as" },
  ])("says what it needs when $title", async ({ env, code, says }) => {
    const result = await runAgent({ ...env, HOME: stateDir() }, ["install", "--system", "--print"]);
    expect(result.code).toBe(code);
    expect(result.output).toContain(says);
  });

  test("says what failed where there is no systemd to talk to", async () => {
    const { PATH } = programs({ systemctl: "echo 'Failed to connect to bus' >&2; exit 1" });
    const result = await runAgent({ ...settings, HOME: stateDir(), PATH }, ["install", "--user"]);
    expect(result.code).toBe(5);
    expect(result.output).toContain("Failed to connect to bus");
  });
});

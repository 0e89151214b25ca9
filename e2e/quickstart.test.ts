import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startLocalDb } from "@loom/local-db";
import { afterEach, beforeEach, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../apps/quickstart/src/main.ts", import.meta.url));

/** Nothing of this machine's own settings. */
const NO_DATABASE = { SUPABASE_URL: "", SUPABASE_SECRET_KEY: "", SUPABASE_SERVICE_ROLE_KEY: "" };

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), "loom-quickstart-"));
  // Postgres never runs as root, and has to reach its data.
  chmodSync(dataDir, 0o755);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

interface Start {
  child: ChildProcess;
  lines: string[];
  url: string;
  token: string;
  exited: Promise<number | null>;
}

/** Starts everything as `npm start` does, and waits for its `ready` line. */
async function start(env: Record<string, string> = {}): Promise<Start> {
  const child = spawn(process.execPath, ["--conditions=@loom/source", MAIN], {
    env: {
      ...process.env,
      ...NO_DATABASE,
      LOOM_DATA_DIR: dataDir,
      PORT: "0",
      LOOM_TOKEN: "",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (line.startsWith("ready ")) resolve(line.slice(6));
      });
    }
    void exited.then(() => reject(new Error(lines.join("\n"))));
  });
  return {
    child,
    lines,
    url,
    token: readFileSync(path.join(dataDir, "token"), "utf8").trim(),
    exited,
  };
}

/** Processes of this start that live: each carries the data folder in its environment. */
function survivors(): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => {
      try {
        const text =
          readFileSync(`/proc/${pid}/environ`, "utf8") +
          readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return text.includes(dataDir);
      } catch {
        return false; // it has ended, or is not ours to see
      }
    });
}

// The process that watches over the others outlives them by a moment.
const expectNoSurvivors = () => expect.poll(survivors).toEqual([]);

/** Asks the API with the token of the start. */
async function call({ url, token }: Start, method: string, route: string) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/api/loom${route}`, { method, headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const smokeSteps = (lines: string[]) =>
  lines
    .map((line) => /^(local|remote|check|ssh) +(\S+) +(\S+)/.exec(line)?.slice(1))
    .filter(Boolean);

test("shows a run across two hosts, serves, and finds its data again at the second start", async () => {
  const first = await start();
  expect(smokeSteps(first.lines)).toEqual([
    ["local", "oracle", "succeeded"],
    ["remote", "pop-os", "succeeded"],
    ["check", "oracle", "succeeded"],
    ["ssh", "oracle", "succeeded"],
  ]);

  const again = await call(first, "POST", "/strands/cross-node-smoke/run");
  expect(again.status).toBe(202);
  await expect
    .poll(async () => (await call(first, "GET", `/runs/${again.body.runId}`)).body.status)
    .toBe("succeeded");

  first.child.kill("SIGINT");
  expect(await first.exited).toBe(0);
  await expectNoSurvivors();

  const second = await start();
  expect(second.token).toBe(first.token);
  expect(await call(second, "GET", `/runs/${again.body.runId}`)).toMatchObject({
    status: 200,
    body: { status: "succeeded" },
  });
  second.child.kill("SIGTERM");
  expect(await second.exited).toBe(0);
  await expectNoSurvivors();
});

test("gives its agent a key of its own, and another one at the next start when that was revoked", async () => {
  const keysOf = async (of: Start) => {
    const { body } = await call(of, "GET", "/nodes/pop-os/keys");
    return body.data as { id: string; valid: boolean; mayOffer: string[] }[];
  };
  const first = await start();
  const [key] = await keysOf(first);
  expect(key).toMatchObject({ valid: true, mayOffer: ["*", "exec"] });
  const log = readFileSync(path.join(dataDir, "logs/agent.log"), "utf8");
  expect(log).toContain("agent started");
  expect(log).not.toContain("SERVICE_ROLE_KEY");
  expect(await call(first, "DELETE", `/nodes/pop-os/keys/${key?.id}`)).toMatchObject({
    status: 200,
  });
  await expect.poll(() => first.lines.join("\n")).toContain("agent ended (exit code 4)");
  first.child.kill("SIGTERM");
  expect(await first.exited).toBe(0);

  const second = await start();
  expect(await keysOf(second)).toMatchObject([{ valid: true }, { id: key?.id, valid: false }]);
  second.child.kill("SIGTERM");
  expect(await second.exited).toBe(0);
  await expectNoSurvivors();
});

test("says in one sentence what to do about a data folder of another version", async () => {
  await using made = await startLocalDb({
    dataDir,
    schema: `create table if not exists loom_migrations (name text primary key, applied_at timestamptz not null default now());
      insert into loom_migrations (name) values ('0000_of_before') on conflict do nothing;`,
  });
  await made.stop();
  const message = await start().then(
    () => "it started",
    (error: Error) => error.message,
  );
  expect(message).toContain(
    `Another version of Loom made the data in ${dataDir}, so move that folder away, or name another one with LOOM_DATA_DIR, and start again.`,
  );
  // The dashboard is built, the database failed, and why.
  expect(message.split("\n").filter((line) => line !== "")).toHaveLength(3);
  await expectNoSurvivors();
});

test("leaves no process behind when it is killed", async () => {
  const { child, exited } = await start();
  expect(survivors().length).toBeGreaterThan(3);
  child.kill("SIGKILL");
  await exited;
  await expectNoSurvivors();
});

const pidOf = (part: string): number => {
  const found = survivors().find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(part),
  );
  if (!found) throw new Error(`no ${part} runs`);
  return Number(found);
};

test("offers Loom's own workflows beside the user's, and restarts a dead part at the same address", async () => {
  const LOOM_WORKFLOWS_DIR = path.join(import.meta.dirname, "workflows");
  const { child, exited, lines, url, token } = await start({
    LOOM_WORKFLOWS_DIR,
    LOOM_CAPABILITIES: "has-nas, gpu.model=RTX 4090",
    LOOM_SLOTS: "3",
  });
  expect(smokeSteps(lines)).toHaveLength(4);
  expect(lines.join("\n")).toContain("has-gpu (declared for the demo");
  const get = async (route: string) => {
    const response = await fetch(url + route, { headers: { authorization: `Bearer ${token}` } });
    return JSON.stringify(await response.json());
  };
  expect(await get("/api/loom/strands")).toMatch(/cross-node-smoke.*hold|hold.*cross-node-smoke/);
  const { data } = JSON.parse(await get("/api/loom/nodes"));
  for (const name of ["oracle", "pop-os"]) {
    expect(data).toContainEqual(
      expect.objectContaining({
        name,
        slots: 3,
        capabilities: expect.arrayContaining(["has-nas", "gpu.model=RTX 4090"]),
      }),
    );
  }

  for (const { part, name } of [
    { part: "apps/hub/src/main.ts", name: "hub" },
    { part: "apps/node-agent/src/main.ts", name: "agent" },
    { part: "/bin/postgres", name: "Postgres" },
  ]) {
    process.kill(pidOf(part), "SIGKILL");
    await expect.poll(() => lines, { timeout: 60_000 }).toContain(`${name} is back`);
    expect(lines.filter((line) => line.startsWith(`${name} ended (SIGKILL)`))).toHaveLength(1);
  }
  await expect
    .poll(() => fetch(`${url}/readyz`).then(({ status }) => status), { timeout: 60_000 })
    .toBe(200);
  await expect
    .poll(async () => JSON.parse(await get("/api/loom/nodes")).data, { timeout: 60_000 })
    .toMatchObject([{ online: true }, { online: true }]);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
  await expectNoSurvivors();
}, 180_000);

test.for([
  { env: { SUPABASE_URL: "http://127.0.0.1:1" }, says: /^SUPABASE_URL is set and no key is: / },
  {
    env: { SUPABASE_SECRET_KEY: "key" },
    says: /^SUPABASE_SECRET_KEY is set and SUPABASE_URL is not: /,
  },
  {
    env: { SUPABASE_URL: "abc", SUPABASE_SECRET_KEY: "key" },
    says: /^SUPABASE_URL is not an address/,
  },
  {
    env: { SUPABASE_URL: "http://127.0.0.1:1", SUPABASE_SECRET_KEY: "key" },
    says: /^The project at SUPABASE_URL .* cannot be reached/,
  },
])("does not take $env for a database", async ({ env, says }) => {
  const failure = await start(env as Record<string, string>).catch((error: Error) => error.message);
  expect(failure).not.toMatch(/^ok +database/m);
  expect(
    String(failure)
      .split("\n")
      .some((line) => says.test(line)),
  ).toBe(true);
  expect(failure).not.toMatch(/\n\s+at /);
});

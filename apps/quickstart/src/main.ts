import { rmSync } from "node:fs";
import path from "node:path";
import { buildDashboard } from "@loom/dashboard/build";
import { type LocalDb, startLocalDb } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { type Part, startPart } from "./parts.ts";
import { readSettings, type Settings } from "./settings.ts";
import { describeRun, runSmoke } from "./smoke.ts";
import { stage } from "./stage.ts";

/** How often the local agent looks for work: the machine is the user's own, and nobody else is on it. */
const AGENT_POLL_MS = "250";

/** What has been started, in order; stopped in reverse. */
const started: { stop(): Promise<unknown> }[] = [];
const stopping = new AbortController();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stopping.abort());
}

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const logDir = path.join(settings.dataDir, "logs");
  // While the database starts: the hub reads the page when it starts.
  const building = buildDashboard();
  building.catch(() => {});
  const { url, key, exited } = await stage(
    "database",
    () => openDatabase(settings),
    ({ description }) => description,
  );
  // Beside an agent of this machine, or of another clone, it is one of its own.
  const stateDir = path.join(settings.dataDir, "agent");
  // The embedded database has another address at each start: nothing that an agent kept for the last one
  // would be offered to it, and what was not delivered is done again.
  if (!settings.supabase) rmSync(stateDir, { recursive: true, force: true });
  const base = { ...process.env, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: key };
  await stage(
    "dashboard",
    () => building,
    (isNew) => (isNew ? "built" : "as built before"),
  );

  const hub = await stage(
    "hub",
    () =>
      ready("listening", "hub", "@loom/hub/main", {
        logDir,
        env: {
          ...base,
          LOOM_TOKEN: settings.token,
          LOOM_NODE_NAME: process.env.LOOM_NODE_NAME ?? "oracle",
        },
      }),
    ({ facts }) => `${facts.url}, working as its own node`,
  );
  const agent = await stage(
    "agent",
    () =>
      ready("agent started", "agent", "@loom/node-agent/main", {
        logDir,
        env: {
          ...base,
          LOOM_NODE_NAME: "pop-os",
          LOOM_STATE_DIR: process.env.LOOM_STATE_DIR ?? stateDir,
          LOOM_CAPABILITIES: "has-gpu",
          LOOM_SLOTS: "2",
          POLL_INTERVAL_MS: process.env.POLL_INTERVAL_MS ?? AGENT_POLL_MS,
        },
      }),
    () => "pop-os, offering has-gpu",
  );
  const hubUrl = String(hub.facts.url);

  const run = await stage(
    "smoke run",
    () => runSmoke({ url: hubUrl, token: settings.token }, { signal: stopping.signal }),
    ({ status }) => `cross-node-smoke ${status}`,
  );
  console.log(`\n${describeRun(run)}\n`);
  console.log(
    `token  ${settings.tokenFile ? `${settings.token}  (kept in ${settings.tokenFile})` : "the one in LOOM_TOKEN"}`,
  );
  console.log(`logs   ${logDir}`);
  console.log(
    `again  curl -X POST ${hubUrl}/api/loom/strands/cross-node-smoke/run -H "Authorization: Bearer ${settings.tokenFile ? settings.token : "$LOOM_TOKEN"}"`,
  );
  console.log(`ready ${hubUrl}`);

  const ended = await Promise.race([
    hub.part.process.exited,
    agent.part.process.exited,
    exited,
    aborted(stopping.signal),
  ]);
  if (ended) {
    const kept = settings.supabase
      ? "What was stored is in the Supabase project"
      : `What was stored is kept in ${settings.dataDir}`;
    throw new Error(
      `${ended.name} ended unexpectedly (${ended.signal ?? `code ${ended.code}`}); its last lines:\n${ended.log}\n\n${kept}: npm start goes on with it.`,
    );
  }
}

async function openDatabase({ supabase, dataDir }: Settings) {
  if (supabase) {
    const description = `the Supabase project at ${supabase.url}`;
    return { ...supabase, description, exited: new Promise<never>(() => {}) };
  }
  const db: LocalDb = await startLocalDb({ dataDir, schema: await migrationScript() });
  started.push(db);
  return {
    url: db.url,
    key: db.serviceKey,
    exited: db.exited,
    description: `private Postgres and PostgREST, data in ${dataDir}`,
  };
}

/** Starts a part and waits for the line that says that it is there. */
async function ready(
  message: string,
  ...[name, app, options]: Parameters<typeof startPart>
): Promise<{ part: Part; facts: Record<string, unknown> }> {
  const part = await startPart(name, app, options);
  started.push(part.process);
  return { part, facts: await part.said(message) };
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });

try {
  await main();
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error instanceof Error ? `\n${error.message}` : error);
    process.exitCode = 1;
  }
}
if (stopping.signal.aborted) console.log("\nstopping …");
// Agents first, so that they can give back what they hold; the database last.
for (const part of started.reverse()) await part.stop();

#!/usr/bin/env node
import { createQueue, migrationScript } from "@loom/queue";
import { cliSource, firstOf, localApiSource, ownName } from "@loom/tailscale-resolver";
import { describeMachine, type Log, loadWorkflows } from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import { workflows as bundled } from "@loom/workflows";
import { createClient } from "@supabase/supabase-js";
import { pino } from "pino";
import postgres from "postgres";
import { EnvError, readEnv } from "./env.ts";
import { startHub } from "./start-hub.ts";

const USAGE = `usage: loom-hub [start | migrate | sql]

  start    serve the API, place jobs, work for this host (the default)
  migrate  bring the database at DATABASE_URL up to date
  sql      print the migrations as one script, for psql or Supabase's SQL editor`;

// sysexits.h: wrong usage, wrong configuration.
const EX_USAGE = 64;
const EX_CONFIG = 78;

async function main(command = "start"): Promise<void> {
  switch (command) {
    case "start":
      return start();
    case "migrate":
      return migrate();
    case "sql":
      process.stdout.write(await migrationScript());
      return;
    default:
      console.error(`loom-hub: there is no command ${command}\n\n${USAGE}`);
      process.exitCode = EX_USAGE;
  }
}

async function start(): Promise<void> {
  const env = readEnv(process.env);
  const log = pino({ name: "loom-hub", level: env.LOG_LEVEL });
  const client = createClient(env.SUPABASE_URL, env.key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  if (!env.token) log.warn({}, "LOOM_TOKEN is not set: whoever is on this machine may use the API");

  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping");
      stop.abort();
    });
  }
  const hub = await startHub(
    {
      queue: createQueue({ client }),
      workflows: await readWorkflows(env.LOOM_WORKFLOWS_DIR, log),
      log,
      token: env.token,
      bind: env.LOOM_BIND,
      port: env.PORT,
      node: { name: env.LOOM_NODE_NAME ?? (await nodeName()), leaseMs: env.LOOM_LEASE_MS },
    },
    { signal: stop.signal },
  );
  log.info({ url: hub.url }, "listening");
  await hub.done;
  log.info({}, "stopped");
}

/** The tailnet's name of this machine; its host name where there is no tailnet. */
async function nodeName(): Promise<string> {
  return ownName(firstOf([localApiSource(), cliSource()])).catch(() => describeMachine().name);
}

async function readWorkflows(
  folder: string | undefined,
  log: Log,
): Promise<readonly AnyWorkflow[]> {
  if (!folder) return bundled;
  const { workflows, problems } = await loadWorkflows(folder);
  for (const { file, problem } of problems) log.error({ file, problem }, "workflow file not used");
  return workflows;
}

async function migrate(): Promise<void> {
  const url = process.env.DATABASE_URL;
  if (!url) {
    throw new EnvError(
      "loom-hub migrate needs DATABASE_URL: the direct connection of your project, with its password. Without one, run `loom-hub sql` and paste its output into the SQL editor",
    );
  }
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(await migrationScript()).simple();
    console.log("the database is up to date");
  } finally {
    await sql.end();
  }
}

main(process.argv[2]).catch((error: unknown) => {
  if (error instanceof EnvError) {
    console.error(error.message);
    process.exitCode = EX_CONFIG;
    return;
  }
  console.error(error);
  process.exitCode = 1;
});

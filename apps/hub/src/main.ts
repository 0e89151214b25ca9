#!/usr/bin/env node
import { createQueue, migrationScript } from "@loom/queue";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  ownName,
} from "@loom/tailscale-resolver";
import {
  createProcessRunner,
  describeMachine,
  disk,
  docker,
  importWorkflows,
  type LoadedWorkflows,
  type Log,
  loadWorkflows,
  nvidia,
  openTelemetry,
  stepEnvironment,
  system,
  tailscale,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { pino } from "pino";
import { readEnv } from "./env.ts";
import { EnvError } from "./errors.ts";
import { EX_USAGE, toExit, toLogged } from "./exit.ts";
import { openMesh } from "./mesh/open-mesh.ts";
import { migrate } from "./migrate.ts";
import { openTailnet } from "./open-tailnet.ts";
import { createRedactor } from "./redact.ts";
import { startHub } from "./start-hub.ts";

const USAGE = `usage: loom-hub [start | migrate | sql]

  start    serve the API, place jobs, work for this host (the default)
  migrate  bring the database at DATABASE_URL up to date
  sql      print the migrations as one script, for psql or Supabase's SQL editor

The environment is described in the README.`;

async function main(args: readonly string[]): Promise<number> {
  const [command = "start", ...rest] = args;
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  if (rest.length === 0) {
    switch (command) {
      case "start":
        await start();
        return 0;
      case "migrate":
        await migrate(readDatabaseUrl());
        console.log("the database is up to date");
        return 0;
      case "sql":
        await print(await migrationScript());
        return 0;
    }
  }
  console.error(`loom-hub: there is no command "${args.join(" ")}"\n\n${USAGE}`);
  return EX_USAGE;
}

/** Prints more than a pipe may take at once. */
const print = (text: string): Promise<void> =>
  new Promise((resolve) => process.stdout.write(text, () => resolve()));

async function start(): Promise<void> {
  const env = readEnv(process.env);
  // Through Node's own stream: pino's, when its reader is gone, tries to write the last
  // lines for ever. Without a reader there is nobody to tell, and no reason to end.
  process.stdout.on("error", () => {});
  const redact = createRedactor([
    env.LOOM_TOKEN,
    env.SUPABASE_SECRET_KEY,
    process.env.LOOM_NODE_KEY,
    process.env.DATABASE_URL,
  ]);
  const log = pino(
    {
      name: "loom-hub",
      level: env.LOG_LEVEL,
      serializers: { err: toLogged },
      hooks: { streamWrite: redact },
    },
    process.stdout,
  );
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping");
      stop.abort();
    });
  }
  if (!env.LOOM_TOKEN) {
    log.warn({}, "LOOM_TOKEN is not set: whoever is on this machine may use the API");
  }

  const client = createClient(env.SUPABASE_URL, env.SUPABASE_SECRET_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { workflows, modules } = await readWorkflows(env.LOOM_WORKFLOWS_DIR, log);
  const tailnetAccess = await openTailnet(
    { capability: env.LOOM_TAILNET_CAPABILITY, scopesOf: env.LOOM_TAILNET_SCOPES },
    log,
  );
  // A node keeps its address: a ring need not wait for tailscaled every time.
  const resolver = createResolver({ source: tailnet(), ttlMs: 30_000 });
  const hub = await startHub(
    {
      queue: createQueue({ client }),
      workflows,
      runner: createProcessRunner({ modules, env: stepEnvironment(process.env) }),
      log,
      token: env.LOOM_TOKEN,
      bind: env.LOOM_BIND,
      port: env.PORT,
      hosts: env.LOOM_HOSTS,
      defaultHost: env.LOOM_DEFAULT_HOST,
      mesh: openMesh(),
      ...(tailnetAccess && { tailnet: tailnetAccess }),
      tracing: await openTelemetry(),
      node: { name: env.LOOM_NODE_NAME ?? (await nodeName()), leaseMs: env.LOOM_LEASE_MS },
      doorbell: env.LOOM_DOORBELL,
      resolver,
      probes: [
        system,
        disk(process.cwd()),
        nvidia,
        docker,
        tailscale((options) => resolver.self(options)),
      ],
    },
    { signal: stop.signal },
  );
  log.info({ url: hub.url }, "listening");
  await hub.done;
  log.info({}, "stopped");
}

const tailnet = () => firstOf([localApiSource(), cliSource()]);

/** The tailnet's name of this machine; its host name where there is no tailnet. */
const nodeName = (): Promise<string> => ownName(tailnet()).catch(() => describeMachine().name);

async function readWorkflows(folder: string | undefined, log: Log): Promise<LoadedWorkflows> {
  if (!folder) return importWorkflows([import.meta.resolve("@loom/workflows")]);
  const loaded = await loadWorkflows(folder).catch((error: Error) => {
    throw new EnvError(`LOOM_WORKFLOWS_DIR cannot be read: ${error.message}`);
  });
  for (const problem of loaded.problems) log.error(problem, "workflow file not used");
  return loaded;
}

function readDatabaseUrl(): string {
  const url = process.env.DATABASE_URL;
  if (url) return url;
  throw new EnvError(
    "loom-hub migrate needs DATABASE_URL: the direct connection of your project, with its password. Without one, run `loom-hub sql` and paste its output into the SQL editor",
  );
}

// A step that goes on after its abort would keep the process alive for as long as it likes.
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const { code, message } = toExit(error);
    console.error(message);
    process.exit(code);
  },
);

#!/usr/bin/env node
import { createQueue } from "@loom/queue";
import { cliSource, firstOf, localApiSource, ownName } from "@loom/tailscale-resolver";
import {
  createProcessRunner,
  createWorker,
  describeMachine,
  importWorkflows,
  type LoadedWorkflows,
  type Log,
  loadWorkflows,
  stepEnvironment,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { pino } from "pino";
import { EnvError, readEnv } from "./env.ts";
import { EX_USAGE, toExit, toLogged } from "./exit.ts";
import { version } from "./version.ts";

const USAGE = `usage: loom-agent

Runs the steps that the hub places on this machine, until SIGTERM.
The environment is described in the README.`;

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  if (args.length > 0) {
    console.error(`loom-agent takes no arguments, not "${args.join(" ")}"\n\n${USAGE}`);
    return EX_USAGE;
  }
  await work();
  return 0;
}

async function work(): Promise<void> {
  const env = readEnv(process.env);
  const machine = describeMachine();
  const name = env.LOOM_NODE_NAME ?? (await tailnetName().catch(() => machine.name));
  // Through Node's own stream: pino's, when its reader is gone, tries to write the last
  // lines for ever. Without a reader there is nobody to tell, and no reason to end.
  process.stdout.on("error", () => {});
  const log = pino(
    {
      name: "loom-agent",
      level: env.LOG_LEVEL,
      base: { node: name },
      serializers: { err: toLogged },
    },
    process.stdout,
  );
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping: finishing what runs, claiming nothing more");
      stop.abort();
    });
  }
  if (env.isServiceKey) {
    log.warn({}, "SUPABASE_SERVICE_ROLE_KEY can do everything: give this node a key of its own");
  }

  const client = createClient(env.SUPABASE_URL, env.LOOM_NODE_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { workflows, modules } = await readWorkflows(env.LOOM_WORKFLOWS_DIR, log);
  const worker = createWorker({
    node: {
      name,
      capabilities: [...machine.capabilities, "loom-agent", ...env.LOOM_CAPABILITIES],
      agentVersion: version,
      facts: machine.facts,
    },
    queue: createQueue({ client }),
    workflows,
    runner: createProcessRunner({ modules, env: stepEnvironment(process.env) }),
    log,
    concurrency: env.LOOM_SLOTS,
    leaseMs: env.LOOM_LEASE_MS,
    pollMs: env.POLL_INTERVAL_MS,
    graceMs: env.LOOM_GRACE_MS,
  });
  log.info({ capabilities: env.LOOM_CAPABILITIES, slots: env.LOOM_SLOTS }, "agent started");
  await worker.run({ signal: stop.signal });
  log.info({}, "agent stopped");
}

const tailnetName = (): Promise<string> => ownName(firstOf([localApiSource(), cliSource()]));

async function readWorkflows(folder: string | undefined, log: Log): Promise<LoadedWorkflows> {
  if (!folder) return importWorkflows([import.meta.resolve("@loom/workflows")]);
  const loaded = await loadWorkflows(folder).catch((error: Error) => {
    throw new EnvError(`LOOM_WORKFLOWS_DIR cannot be read: ${error.message}`);
  });
  for (const problem of loaded.problems) log.error(problem, "workflow file not used");
  return loaded;
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

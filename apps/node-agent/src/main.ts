#!/usr/bin/env node
import { createQueue } from "@loom/queue";
import { cliSource, firstOf, localApiSource, ownName } from "@loom/tailscale-resolver";
import { createWorker, describeMachine, loadWorkflows } from "@loom/worker";
import { workflows as bundled } from "@loom/workflows";
import { createClient } from "@supabase/supabase-js";
import { pino } from "pino";
import { EnvError, readEnv } from "./env.ts";

// sysexits.h: wrong configuration.
const EX_CONFIG = 78;

async function main(): Promise<void> {
  const env = readEnv(process.env);
  const machine = describeMachine();
  const name =
    env.LOOM_NODE_NAME ??
    (await ownName(firstOf([localApiSource(), cliSource()])).catch(() => machine.name));
  const log = pino({ name: "loom-agent", level: env.LOG_LEVEL, base: { node: name } });
  if (!env.LOOM_NODE_KEY) {
    log.warn({}, "SUPABASE_SERVICE_ROLE_KEY can do everything: give this node a key of its own");
  }

  const loaded = env.LOOM_WORKFLOWS_DIR
    ? await loadWorkflows(env.LOOM_WORKFLOWS_DIR)
    : { workflows: bundled, problems: [] };
  for (const { file, problem } of loaded.problems)
    log.error({ file, problem }, "workflow file not used");

  const client = createClient(env.SUPABASE_URL, env.key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const worker = createWorker({
    node: {
      name,
      capabilities: [...machine.capabilities, "loom-agent", ...env.LOOM_CAPABILITIES],
      facts: machine.facts,
    },
    queue: createQueue({ client }),
    workflows: loaded.workflows,
    log,
    concurrency: env.LOOM_SLOTS,
    leaseMs: env.LOOM_LEASE_MS,
    pollMs: env.POLL_INTERVAL_MS,
    graceMs: env.LOOM_GRACE_MS,
  });

  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info({ signal }, "stopping: finishing what runs, claiming nothing more");
      stop.abort();
    });
  }
  log.info({ capabilities: env.LOOM_CAPABILITIES, slots: env.LOOM_SLOTS }, "agent started");
  await worker.run({ signal: stop.signal });
  log.info({}, "agent stopped");
}

main().then(
  // A step that goes on after its abort would keep the process alive for as long as it likes.
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof EnvError) {
      console.error(error.message);
      process.exit(EX_CONFIG);
    }
    console.error(error);
    process.exit(1);
  },
);

import { createQueue } from "@loom/queue";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  ownName,
} from "@loom/tailscale-resolver";
import {
  describeMachine,
  importWorkflows,
  type LoadedWorkflows,
  loadWorkflows,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { pino } from "pino";
import { type Env, EnvError, readEnv } from "../env.ts";
import { toLogged } from "../exit.ts";
import { withNodeKey } from "../node-key.ts";
import { runAgent } from "../start-agent.ts";
import { stateDir } from "../state-dir.ts";

const tailnet = firstOf([localApiSource(), cliSource()]);

/** Where nodes are in the tailnet. An address is a node's for as long as it lives. */
export const resolver = createResolver({ source: tailnet, ttlMs: 30_000 });

/** What the node is called: as it was told, else as in the tailnet, else as the host. */
export const nodeName = async ({ LOOM_NODE_NAME }: Env): Promise<string> =>
  LOOM_NODE_NAME ?? (await ownName(tailnet).catch(() => describeMachine().name));

export const queueOf = (env: Env) =>
  createQueue({
    client: createClient(env.SUPABASE_URL, env.LOOM_NODE_KEY, {
      auth: { persistSession: false, autoRefreshToken: false },
    }),
  });

/**
 * The workflows of the folder, or those that come with Loom.
 *
 * @throws EnvError when the folder cannot be read.
 */
export async function readWorkflows(folder: string | undefined): Promise<LoadedWorkflows> {
  if (!folder) return await importWorkflows([import.meta.resolve("@loom/workflows")]);
  return await loadWorkflows(folder).catch((error: Error) => {
    throw new EnvError(`LOOM_WORKFLOWS_DIR cannot be read: ${error.message}`);
  });
}

/** Works as a node until SIGTERM or SIGINT; a second one, or SIGQUIT, cancels at once. */
export async function start(): Promise<void> {
  const variables = withNodeKey(process.env);
  const env = readEnv(variables);
  const name = await nodeName(env);
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
  const abort = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (signal === "SIGQUIT" || stop.signal.aborted) {
      log.warn({ signal }, "stopping now: giving back what runs");
      abort.abort();
      // Whoever asks once more means it.
      for (const each of ["SIGTERM", "SIGINT", "SIGQUIT"]) process.removeListener(each, onSignal);
    } else {
      log.info({ signal }, "stopping: finishing what runs, claiming nothing more");
      stop.abort();
    }
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) process.on(signal, onSignal);
  if (env.isServiceKey) {
    log.warn({}, "SUPABASE_SERVICE_ROLE_KEY can do everything: give this node a key of its own");
  }
  const loaded = await readWorkflows(env.LOOM_WORKFLOWS_DIR);
  for (const { file, problem } of loaded.problems) {
    log.error({ file, problem }, "workflow file not used");
  }
  await runAgent(
    {
      name,
      env,
      queue: queueOf(env),
      resolver,
      loaded,
      stateDir: stateDir(variables),
      variables,
      log,
    },
    {
      stop: stop.signal,
      abort: abort.signal,
      onReprobe: (lookAgain) => void process.on("SIGHUP", lookAgain),
    },
  );
}

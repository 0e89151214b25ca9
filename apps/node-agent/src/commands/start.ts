import { createProgramLog } from "@loom/program";
import { identify, loadWorkflows, resolver, runAgent } from "../agent.ts";
import { KEY_ADVICE, readEnv, withNodeKey } from "../env.ts";
import { readJoined, withJoined } from "../joined.ts";
import { openAgentKey } from "../rotate-key.ts";
import { stateDir } from "../state-dir.ts";
import { readMarker } from "../upgrade/marker.ts";
import { becomePresent, beginStart, enterTrial, failTrial, type Start } from "../upgrade/trial.ts";

/** Runs the agent until SIGTERM or SIGINT. A second one, or SIGQUIT, stops without the grace. */
export async function start(): Promise<void> {
  const folder = stateDir(process.env);
  const boot = { name: "loom-agent", variables: process.env, base: null } as const;
  const log = createProgramLog({ ...boot, level: "info" });
  const started = beginStart(folder, log);
  try {
    await run(folder, started);
  } catch (error) {
    // Whatever is wrong with a new agent: the one of before decides, and not a supervisor that may give up.
    const { installed, isTrial } = started;
    if (!installed || !isTrial || readMarker(folder)?.state !== "trial") throw error;
    log.error({ err: error }, "the new agent cannot run: going back to the one of before");
    becomePresent(installed);
  }
}

async function run(folder: string, started: Start): Promise<void> {
  const variables = withJoined(withNodeKey(process.env));
  const env = readEnv(variables);
  const program = createProgramLog({
    name: "loom-agent",
    level: env.LOG_LEVEL,
    variables,
    base: null,
  });
  const identity = await identify(env, { folder, log: program });
  const log = program.child({ node: identity.name });
  const stop = new AbortController();
  const abort = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (signal === "SIGQUIT" || stop.signal.aborted) {
      log.warn({ signal }, "stopping now: giving back what runs");
      abort.abort();
      // The next signal ends the process.
      for (const each of ["SIGTERM", "SIGINT", "SIGQUIT"]) process.removeListener(each, onSignal);
    } else {
      log.info({ signal }, "stopping: finishing what runs, claiming nothing more");
      stop.abort();
    }
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) process.on(signal, onSignal);
  if (env.database.nodeKey === undefined) {
    log.warn({}, `SUPABASE_SERVICE_ROLE_KEY can do everything: ${KEY_ADVICE}`);
  }
  const loaded = await loadWorkflows(env, { variables, stateDir: folder, log });
  const joined = readJoined(folder);
  const key = openAgentKey(env, { folder, node: identity.name });
  // The key is for the database that it joined with.
  const isJoined = joined?.database.url === env.SUPABASE_URL;
  const end = await runAgent(
    {
      identity,
      env,
      queue: key.queue,
      key,
      resolver,
      loaded,
      stateDir: folder,
      variables,
      start: started,
      hubUrl: joined?.hub.url,
      filesHubUrl: env.LOOM_HUB_URL ?? (isJoined ? joined?.hub.url : undefined),
      source: joined?.codeKey ? { url: joined.hub.url, publicKey: joined.codeKey } : undefined,
      log,
    },
    {
      stop: stop.signal,
      abort: abort.signal,
      onReprobe: (reprobe) => void process.on("SIGHUP", reprobe),
    },
  );
  const { installed } = started;
  if (!installed || end === "stopped" || stop.signal.aborted || abort.signal.aborted) return;
  if (end === "trial") enterTrial(folder, { installed, log });
  else failTrial(folder, log);
  // Still here: the agent of before goes on, as a new process would.
  becomePresent(installed);
}

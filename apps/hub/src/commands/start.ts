import path from "node:path";
import type { SigningKey } from "@loom/code";
import type { S3Settings } from "@loom/files";
import { openTailnet } from "@loom/http";
import { createNodeArchives } from "@loom/join";
import {
  createNodeResolver,
  createProgramLog,
  findFolderModules,
  identifyMachine,
  openQueue,
  ownTailnetIdentity,
  ownWorkflows,
  type Variables,
} from "@loom/program";
import type { UnreadableRow } from "@loom/queue";
import { localApiSource } from "@loom/tailscale-resolver";
import {
  bundleStepProgram,
  compileCacheOf,
  createExecGate,
  createFetchedCode,
  createPlanner,
  createProcessRunner,
  describeMachine,
  disk,
  docker,
  type FetchedCode,
  fetchFromQueue,
  type Log,
  type MachineIdentity,
  nvidia,
  openTelemetry,
  stepEnvironment,
  system,
  tailscale,
} from "@loom/worker";
import { createAgentArchive } from "../code/agent-archive.ts";
import { openHubCode } from "../code/hub-code.ts";
import { withCode } from "../code/queue-with-code.ts";
import { watchFolder } from "../code/watch-workflows.ts";
import { type DirectAddress, openDirectQueue } from "../direct-connection.ts";
import { hubStateDir, openEmbedded } from "../embedded.ts";
import { type Env, readEnv, withSecretFiles } from "../env.ts";
import { openFiles } from "../files/open-files.ts";
import { createSeal } from "../hooks/seal.ts";
import { createTailnetClient } from "../listen/tailnet-client.ts";
import { type RunningHub, type StartOptions, startHub } from "../start-hub.ts";

/** How long fetching an old version of a workflow may take. */
const OPEN_MS = 10_000;

/** Serves the API until SIGTERM or SIGINT. Without a Supabase project, the database is the hub's own. */
export async function start(given: Variables, { dashboard }: { dashboard: string }): Promise<void> {
  const variables = withSecretFiles(given);
  const env = readEnv(variables);
  const log = createProgramLog({
    name: "loom-hub",
    level: env.LOG_LEVEL,
    variables,
  });
  const stop = new AbortController();
  const { signal } = stop;
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.once(name, () => {
      log.info({ signal: name }, "stopping");
      stop.abort();
    });
  }
  const embedded = env.supabase ? undefined : await openEmbedded({ variables, log });
  try {
    const token = env.LOOM_TOKEN ?? embedded?.token;
    if (!token) {
      log.warn({}, "LOOM_TOKEN is not set: every program of this machine may use the API");
    }
    const { SUPABASE_PUBLISHABLE_KEY: publishableKey, DATABASE_URL: databaseUrl } = env;
    const direct = databaseUrl === undefined ? undefined : { databaseUrl };
    const database = env.supabase ? { ...env.supabase, publishableKey, direct } : embedded;
    if (!database) throw new Error("a hub without a project has the embedded database");
    const hub = await openHub(
      { ...env, token, database, dashboard },
      { variables: given, log, signal },
    );
    // Machines that join keep the public key, and run only what is signed with it.
    log.info({ url: hub.url, embedded: embedded?.url, codeKey: hub.codeKey }, "listening");
    try {
      await Promise.all([hub.done, hub.watching]);
    } finally {
      await hub.close();
    }
  } finally {
    // Stopped last, so that the hub can finish its writes.
    await embedded?.stop();
  }
  log.info({}, "stopped");
}

/** Starts the hub with this machine's workflows, tailnet and state folder. */
async function openHub(
  env: Env & {
    token: string | undefined;
    database: {
      url: string;
      key: string;
      publishableKey: string | undefined;
      /** Undefined: the hub calls the API, as agents do. */
      direct: DirectAddress | undefined;
    };
    dashboard: string;
  },
  { variables, log, signal }: { variables: Variables; log: Log; signal: AbortSignal },
): Promise<RunningHub & { codeKey: string; watching: Promise<void>; close(): Promise<void> }> {
  // Created first, so that it imports the files while the rest starts.
  const { code, store, key } = await openHubCode(variables, log);
  const stepCode = Promise.withResolvers<FetchedCode>();
  const planner = createPlanner({
    code,
    modules: await findFolderModules(env.LOOM_WORKFLOWS_DIR),
    own: ownWorkflows(),
    env: stepEnvironment(variables),
    compileCache: compileCacheOf(variables),
    // The condition of a run that began with another version of its workflow.
    openVersion: async (step) =>
      (await stepCode.promise).open(step, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(OPEN_MS)]),
      }),
    log: log.child({ part: "planner" }),
  });
  const tailnetAccess = await openTailnet(
    { capability: env.LOOM_TAILNET_CAPABILITY, scopesOf: env.LOOM_TAILNET_SCOPES },
    log,
  );
  const resolver = createNodeResolver();
  const onUnreadable = (row: UnreadableRow) =>
    log.error(row, "a row cannot be read and is skipped");
  const { queue, close } = env.database.direct
    ? openDirectQueue(env.database.direct, { onUnreadable })
    : { queue: openQueue(env.database, { onUnreadable }), close: async () => {} };
  const node = await identify(env.LOOM_NODE_NAME, { variables, log });
  // The bundles of current workflows must stay, however many old versions there are.
  planner.onChange(() => store.keep([...planner.modules.values()].map(({ version }) => version)));
  const fetched = createFetchedCode({
    store,
    fetch: fetchFromQueue({ queue, node: node.name, publicKey: key.publicKey }),
    hasModule: () => true,
    log: log.child({ part: "code" }),
  });
  stepCode.resolve(fetched);
  const state = hubStateDir(variables);
  const files = await openFiles({
    ...{ s3: s3Of(env), folder: state, queue, node: node.name },
    log: log.child({ part: "files" }),
  });
  const hub = await startHub(
    {
      queue: withCode(queue, { store, key, toAuthor: code.toAuthor }),
      planner,
      runner: createProcessRunner({
        program: bundleStepProgram(log),
        code: fetched,
        env: stepEnvironment(variables),
        files: files.transfer,
        filesFolder: path.join(state, "attempt-files"),
      }),
      files,
      exec: createExecGate({
        // A command here could read the hub's keys.
        policy: env.LOOM_EXEC_ON_HUB ? env.LOOM_EXEC : { kind: "off" },
        publicKey: key.publicKey,
        env: stepEnvironment(variables),
      }),
      signingKey: key,
      log,
      token: env.token,
      bind: env.LOOM_BIND,
      port: env.PORT,
      hosts: env.LOOM_HOSTS,
      defaultHost: env.LOOM_DEFAULT_HOST,
      tailnetClient: createTailnetClient(),
      ...(tailnetAccess && { tailnet: tailnetAccess }),
      tracing: await openTelemetry(),
      dashboard: env.dashboard,
      seal: createSeal(key.privateKey),
      join: openJoin(env, { key, folder: hubStateDir(variables), log }),
      node: { ...node, leaseMs: env.LOOM_LEASE_MS },
      acceptsCode: true,
      capabilities: env.LOOM_CAPABILITIES,
      slots: env.LOOM_SLOTS,
      wakeServer: env.LOOM_WAKE,
      resolver,
      retentionDays: env.LOOM_RETENTION,
      probes: [
        system,
        disk(process.cwd()),
        nvidia,
        docker,
        tailscale((options) => resolver.self(options)),
      ],
    },
    { signal },
  );
  const watching = watchFolder(env.LOOM_WORKFLOWS_DIR, { planner, log, signal });
  return { ...hub, codeKey: key.publicKey, watching, close };
}

/** The bucket for files; undefined where the settings name none. */
function s3Of({
  LOOM_FILES_S3: url,
  LOOM_FILES_S3_REGION: region,
  LOOM_FILES_S3_KEY_ID: keyId,
  LOOM_FILES_S3_SECRET: secret,
}: Env): S3Settings | undefined {
  if (url === undefined || keyId === undefined || secret === undefined) return undefined;
  return { url, region, keyId, secret };
}

/** Creates the context of the routes for joining. */
function openJoin(
  { database, LOOM_TAILNET_JOIN }: Parameters<typeof openHub>[0],
  { key, folder, log }: { key: SigningKey; folder: string; log: Log },
): NonNullable<StartOptions["join"]> {
  const daemon = localApiSource();
  return {
    databaseUrl: database.url,
    publishableKey: database.publishableKey,
    tailnetJoin: LOOM_TAILNET_JOIN,
    whois: (remote) => daemon.whois(remote),
    codeKey: key.publicKey,
    agent: createAgentArchive({ key, folder, log }),
    node: createNodeArchives({ folder: path.join(folder, "downloads"), log }),
  };
}

/**
 * Identifies the hub's own node. If the state folder cannot be used, every start chooses the name again, and any
 * machine can take it.
 */
async function identify(
  name: string | undefined,
  { variables, log }: { variables: Variables; log: Log },
): Promise<Pick<MachineIdentity, "name"> & Partial<MachineIdentity>> {
  try {
    return await identifyMachine(hubStateDir(variables), { name, log });
  } catch (err) {
    log.warn(
      { err },
      "the hub cannot store this machine's id, so another machine may take its node's name: set LOOM_STATE_DIR to a writable folder",
    );
    return { name: name ?? (await ownTailnetIdentity())?.name ?? describeMachine().name };
  }
}

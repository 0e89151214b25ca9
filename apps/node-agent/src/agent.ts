import path from "node:path";
import { createFileTransfer, createHubConnection } from "@loom/files";
import {
  agentCode,
  createNodeResolver,
  findFolderModules,
  identifyMachine,
  openQueue,
  ownWorkflows,
} from "@loom/program";
import type { Queue } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import {
  binary,
  bundleStepProgram,
  compileCacheOf,
  createProber,
  createProcessRunner,
  createReplyWaker,
  createWakeClient,
  createWorker,
  credentials,
  describeMachine,
  describeNode,
  disk,
  docker,
  type FileTransfer,
  keepWakeServer,
  type Log,
  type MachineIdentity,
  noFiles,
  nvidia,
  openJournal,
  openTelemetry,
  ownCode,
  type Probe,
  readWorkflows,
  stepEnvironment,
  system,
  tailscale,
  type WakeAddress,
} from "@loom/worker";
import { hubKeyOf, openHubCode } from "./code.ts";
import type { AgentStatus } from "./control/agent-status.ts";
import { openControl } from "./control/control-server.ts";
import type { Env } from "./env.ts";
import { PreconditionError } from "./errors.ts";
import { openExec } from "./exec.ts";
import type { AgentKey } from "./rotate-key.ts";
import { journalOf, socketOf } from "./state-dir.ts";
import type { AgentSource } from "./upgrade/fetch-agent.ts";
import { awaitReport, passTrial, type Start } from "./upgrade/trial.ts";
import { createUpgrader } from "./upgrade/upgrader.ts";
import { version } from "./version.ts";

/** How long the first hello waits for probes. The result of a slower probe is reported later. */
const FIRST_PROBES_MS = 500;

/** The parts of an agent. */
export interface AgentDeps {
  identity: MachineIdentity;
  env: Env;
  queue: Queue;
  key: Pick<AgentKey, "rotate" | "current">;
  resolver: Resolver;
  loaded: LoadedWorkflows;
  stateDir: string;
  variables: Readonly<Record<string, string | undefined>>;
  /** How this agent was started. */
  start: Start;
  /** The address of the hub that this machine joined. */
  hubUrl: string | undefined;
  /** The address of the hub that keeps the files of runs; undefined: steps have none here. */
  filesHubUrl: string | undefined;
  /** The hub that this machine joined, if that signs what it gives away. */
  source: AgentSource | undefined;
  log: Log;
}

/** Why an agent ended: it had to stop, or another one takes its place. */
export type AgentEnd = "stopped" | "trial" | "silent";

export const resolver = createNodeResolver();

/**
 * Identifies this node.
 *
 * @throws PreconditionError when the state folder cannot be used.
 */
export async function identify(
  { LOOM_NODE_NAME }: Pick<Env, "LOOM_NODE_NAME">,
  { folder, log }: { folder: string; log: Log },
): Promise<MachineIdentity> {
  try {
    return await identifyMachine(folder, { name: LOOM_NODE_NAME, log });
  } catch (error) {
    throw new PreconditionError(
      `the state folder ${folder} cannot be used (${(error as Error).message}): set LOOM_STATE_DIR to a folder that the agent may write to`,
      { cause: error },
    );
  }
}

export const queueOf = ({ database }: Env) => openQueue(database);

/**
 * Reads the workflows that come with Loom and those in the folder. Another process imports their files.
 *
 * @throws EnvError when the folder cannot be read.
 */
export async function loadWorkflows(
  settings: Env,
  {
    variables,
    stateDir,
    log,
  }: { variables: Parameters<typeof stepEnvironment>[0]; stateDir: string; log: Log },
): Promise<LoadedWorkflows> {
  // Its code comes from its hub.
  if (hubKeyOf(settings) !== undefined) return { workflows: [], modules: new Map(), problems: [] };
  const modules = await findFolderModules(settings.LOOM_WORKFLOWS_DIR);
  const env = stepEnvironment(variables);
  const compileCache = compileCacheOf(variables);
  const { code } = await agentCode(stateDir, { workflows: settings.LOOM_WORKFLOWS_DIR });
  return await readWorkflows({ modules, own: ownWorkflows(), code, env, compileCache, log });
}

/** The workflows that an agent knows, and the files that it could not read. */
export type LoadedWorkflows = Awaited<ReturnType<typeof readWorkflows>>;

/** The signals that an agent reacts to. */
export interface AgentSignals {
  /** Claims nothing more, lets steps end within the grace, and gives the rest back. */
  stop: AbortSignal;
  /** Ends the grace. */
  abort: AbortSignal;
  /** Called once with a function that runs all probes again. */
  onReprobe(reprobe: () => void): void;
}

/** How the steps of this agent reach files: over the hub, with what the agent calls the database with. */
const openFiles = ({ filesHubUrl, identity, env, key, log }: AgentDeps): FileTransfer => {
  if (filesHubUrl === undefined) return noFiles;
  const credentials = () => ({ key: env.database.key, nodeKey: key.current() });
  const connection = createHubConnection({
    ...{ hubUrl: filesHubUrl, node: identity.name, credentials },
  });
  return createFileTransfer(connection, { log: log.child({ part: "files" }) });
};

/** The probes of an agent. */
export const agentProbes = ({
  env,
  resolver,
  stateDir,
  variables,
}: Pick<AgentDeps, "env" | "resolver" | "stateDir" | "variables">): Probe[] => [
  system,
  disk(stateDir),
  nvidia,
  docker,
  tailscale((options) => resolver.self(options)),
  ...env.LOOM_PROBE_BINARIES.map((program) => binary(program, variables.PATH ?? "")),
  ...env.LOOM_PROBE_CREDENTIALS.map((wanted) => credentials(wanted, variables)),
];

/**
 * Runs probes, wake server, control socket and worker until a signal stops them.
 *
 * @throws What the worker's `run` throws, and PreconditionError when an agent of this node already
 *   runs here.
 */
export async function runAgent(deps: AgentDeps, signals: AgentSignals): Promise<AgentEnd> {
  const { identity, env, queue, resolver, loaded, stateDir, log } = deps;
  const { installed, isTrial } = deps.start;
  let isOnTrial = isTrial;
  let end: AgentEnd = "stopped";
  const leave = new AbortController();
  const stop = AbortSignal.any([signals.stop, leave.signal]);
  const leaveFor = (why: AgentEnd) => {
    if (stop.aborted) return;
    end = why;
    leave.abort();
  };
  const { name } = identity;
  const startedAt = new Date();
  const machine = describeMachine();
  const workflows = Object.fromEntries(loaded.workflows.map((each) => [each.name, each.version]));
  const prober = createProber(agentProbes(deps), { log: log.child({ part: "probes" }) });
  const publicKey = hubKeyOf(env);
  const hubCode =
    publicKey === undefined
      ? undefined
      : openHubCode({
          ...{ publicKey, stateDir, queue, node: name, log },
          onFault: () => worker.report(describe()),
        });
  const exec = await openExec(env, {
    ...{ variables: deps.variables, hubUrl: deps.hubUrl, signal: stop, log },
    hasFiles: deps.filesHubUrl !== undefined,
    onOpen: () => worker.report(describe()),
  });
  const describe = () => {
    const { capabilities, facts } = describeNode({
      machine: {
        ...machine,
        capabilities: [
          ...machine.capabilities,
          "loom-agent",
          ...(hubCode?.capabilities() ?? []),
          ...exec.capabilities,
        ],
      },
      declared: env.LOOM_CAPABILITIES,
      reports: prober.reports(),
    });
    const code = hubCode && { fault: hubCode.fault() };
    const agent = upgrader?.facts();
    return {
      capabilities,
      facts: { ...facts, workflows, ...(code && { code }), ...(agent && { agent }) },
    };
  };
  const upgrader =
    installed &&
    createUpgrader({
      ...{ installed, source: deps.source, stateDir, signal: stop, log },
      drain: (options) => worker.drain(options),
      drainMs: env.LOOM_UPGRADE_DRAIN_MS,
      onDrain: () => worker.report(describe()),
      onReady: () => leaveFor("trial"),
      onFacts() {
        worker.resume();
        worker.report(describe());
      },
    });

  let wakeServer: WakeAddress | null = null;
  const replyWaker = createReplyWaker(createWakeClient({ log }));
  const worker = createWorker({
    exec,
    node: { name, agentVersion: version, ...describe() },
    machine: identity.machine,
    queue,
    workflows: loaded.workflows,
    runner: createProcessRunner({
      program: bundleStepProgram(log),
      code: hubCode ?? ownCode(loaded.modules),
      env: stepEnvironment(deps.variables),
      files: openFiles(deps),
      filesFolder: path.join(stateDir, `${name}.files`),
    }),
    journal: await openJournal(journalOf(stateDir, name), { log }),
    log,
    concurrency: env.LOOM_SLOTS,
    prefetch: env.LOOM_PREFETCH,
    leaseMs: env.LOOM_LEASE_MS,
    pollMs: env.POLL_INTERVAL_MS,
    graceMs: env.LOOM_GRACE_MS,
    onSettled: () => replyWaker.wake(),
    onUpgrade: (order) => {
      if (!stop.aborted && !isOnTrial) upgrader?.onOrder(order);
    },
    tracing: await openTelemetry(),
  });

  const status = (): AgentStatus => {
    const { nodeStatus, lastHeartbeatAt, fault, jobs } = worker.status();
    const isInTouch =
      lastHeartbeatAt !== null && Date.now() - lastHeartbeatAt.getTime() < env.LOOM_LEASE_MS;
    return {
      schema: "loom.agent-status/v1",
      node: name,
      version,
      pid: process.pid,
      startedAt,
      ready: isInTouch && fault === null,
      lastHeartbeatAt,
      fault,
      nodeStatus,
      stopping: stop.aborted,
      slots: env.LOOM_SLOTS,
      jobs,
      capabilities: describe().capabilities,
      wakeServer,
      workflows,
      problems: loaded.problems,
      probes: prober.reports(),
    };
  };

  const control = await openControl(socketOf(stateDir, name), {
    status,
    async setStatus(change) {
      const set = await queue.setNodeStatus(name, change);
      // The next request for the status gets the new one.
      await worker.refresh();
      return set;
    },
    rotateKey: () =>
      deps.key.rotate(async () => {
        const before = worker.status().lastHeartbeatAt;
        await worker.refresh();
        return before === null || worker.status().lastHeartbeatAt !== before;
      }),
  });
  const over = new AbortController();
  const ended = AbortSignal.any([stop, signals.abort, over.signal]);
  const probing = prober.run({ onChange: () => worker.report(describe()), signal: ended });
  signals.onReprobe(() => prober.runAll());
  const keptWakeServer = await keepWakeServer(
    {
      setting: env.LOOM_WAKE,
      ownAddress: async () => (await resolver.self()).ip,
      log,
      onWake: (hub) => {
        replyWaker.remember(hub);
        worker.wake();
      },
      onOpen({ address, port }) {
        wakeServer = { address, port };
        worker.report({ tailnetAddress: address, wakePort: port });
      },
    },
    { signal: ended },
  );
  await prober.firstRound(FIRST_PROBES_MS);
  worker.report(describe());

  const { capabilities } = describe();
  log.info({ capabilities, slots: env.LOOM_SLOTS }, "agent started");
  const tried = (async () => {
    if (installed && isTrial) {
      const hasReported = async () => {
        await worker.refresh();
        return worker.status().nodeStatus !== null;
      };
      const isIn = await awaitReport(hasReported, { signal: ended });
      if (ended.aborted) return;
      if (!isIn) return leaveFor("silent");
      passTrial(stateDir, installed);
      isOnTrial = false;
      upgrader?.passed();
      log.info({ digest: installed.digest }, "the new agent has reported, and stays");
    }
    if (env.LOOM_UPGRADE === "auto") await upgrader?.follow(ended);
  })();
  tried.catch((error: unknown) => log.error({ err: error }, "the upgrade failed"));
  try {
    await worker.run({ signal: stop, abortSignal: signals.abort });
  } finally {
    over.abort();
    await Promise.allSettled([probing, keptWakeServer.done, control.close(), tried]);
  }
  log.info({}, "agent stopped");
  return end;
}

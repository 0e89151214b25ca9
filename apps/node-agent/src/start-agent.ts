import type { Queue } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import {
  type BellAddress,
  binary,
  createProber,
  createProcessRunner,
  createRingBack,
  createRinger,
  createWorker,
  credentials,
  describeMachine,
  disk,
  docker,
  keepDoorbell,
  type LoadedWorkflows,
  type Log,
  nvidia,
  openJournal,
  openTelemetry,
  type Probe,
  stepEnvironment,
  system,
  tailscale,
  toOffer,
} from "@loom/worker";
import type { AgentStatus } from "./agent-status.ts";
import { openControl } from "./control/control-server.ts";
import type { Env } from "./env.ts";
import { journalOf, makeStateDir, socketOf } from "./state-dir.ts";
import { version } from "./version.ts";

/** How long the first hello waits for probes. One that takes longer is told when it is done. */
const FIRST_PROBES_MS = 500;

/** What an agent works with. */
export interface AgentDeps {
  name: string;
  env: Env;
  queue: Queue;
  resolver: Resolver;
  loaded: LoadedWorkflows;
  stateDir: string;
  variables: Readonly<Record<string, string | undefined>>;
  log: Log;
}

/** What makes an agent stop, or look again. */
export interface AgentSignals {
  /** Claim nothing more, finish within the grace, give the rest back. */
  stop: AbortSignal;
  /** Do not wait for the grace. */
  abort: AbortSignal;
  /** Called with what to do when the probes are to look again. */
  onReprobe(lookAgain: () => void): void;
}

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
 * Works as a node until it is told to stop: probes, doorbell, the answers to its own user, and
 * the worker itself.
 *
 * @throws What the worker's `run` throws, and PreconditionError when an agent of this node runs
 *   here already.
 */
export async function runAgent(deps: AgentDeps, signals: AgentSignals): Promise<void> {
  const { name, env, queue, resolver, loaded, stateDir, log } = deps;
  const startedAt = new Date();
  const machine = describeMachine();
  const workflows = Object.fromEntries(loaded.workflows.map((each) => [each.name, each.version]));
  makeStateDir(stateDir);
  const prober = createProber(agentProbes(deps), { log: log.child({ part: "probes" }) });
  const describe = () => {
    const { capabilities, facts } = toOffer({
      machine: { ...machine, capabilities: [...machine.capabilities, "loom-agent"] },
      declared: env.LOOM_CAPABILITIES,
      reports: prober.reports(),
    });
    return { capabilities, facts: { ...facts, workflows } };
  };

  let bell: BellAddress | null = null;
  const ringBack = createRingBack(createRinger({ log }));
  const worker = createWorker({
    node: { name, agentVersion: version, ...describe() },
    queue,
    workflows: loaded.workflows,
    runner: createProcessRunner({
      modules: loaded.modules,
      env: stepEnvironment(deps.variables),
    }),
    journal: await openJournal(journalOf(stateDir, name, env.SUPABASE_URL), { log }),
    log,
    concurrency: env.LOOM_SLOTS,
    leaseMs: env.LOOM_LEASE_MS,
    pollMs: env.POLL_INTERVAL_MS,
    graceMs: env.LOOM_GRACE_MS,
    onSettled: () => ringBack.ring(),
    tracing: await openTelemetry(),
  });

  const status = (): AgentStatus => {
    const { nodeStatus, lastHeartbeatAt, jobs } = worker.status();
    return {
      schema: "loom.agent-status/v1",
      node: name,
      version,
      pid: process.pid,
      startedAt,
      ready: lastHeartbeatAt !== null && Date.now() - lastHeartbeatAt.getTime() < env.LOOM_LEASE_MS,
      lastHeartbeatAt,
      nodeStatus,
      stopping: signals.stop.aborted,
      slots: env.LOOM_SLOTS,
      jobs,
      capabilities: describe().capabilities,
      doorbell: bell,
      workflows,
      problems: loaded.problems,
      probes: prober.reports(),
    };
  };

  const control = await openControl(socketOf(stateDir, name), {
    status,
    setStatus: (change) => queue.setNodeStatus(name, change),
  });
  const over = new AbortController();
  const ended = AbortSignal.any([signals.stop, signals.abort, over.signal]);
  const probing = prober.run({ onChange: () => worker.report(describe()), signal: ended });
  signals.onReprobe(() => prober.lookAgain());
  const door = await keepDoorbell(
    {
      setting: env.LOOM_DOORBELL,
      ownAddress: async () => (await resolver.self()).ip,
      log,
      onRing: (hub) => {
        ringBack.remember(hub);
        worker.ring();
      },
      onOpen({ address, port }) {
        bell = { address, port };
        worker.report({ tailnetAddress: address, doorbellPort: port });
      },
    },
    { signal: ended },
  );
  await prober.firstRound(FIRST_PROBES_MS);
  worker.report(describe());

  const { capabilities } = describe();
  log.info({ capabilities, slots: env.LOOM_SLOTS }, "agent started");
  try {
    await worker.run({ signal: signals.stop, abortSignal: signals.abort });
  } finally {
    over.abort();
    await Promise.allSettled([probing, door.done, control.close()]);
  }
  log.info({}, "agent stopped");
}

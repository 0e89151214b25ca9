import { randomUUID } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type JoinContext, NO_JOIN } from "@loom/join";
import { CODE_CAPABILITY } from "@loom/scheduler";
import type { Resolver } from "@loom/tailscale-resolver";
import {
  createProber,
  createWakeClient,
  createWaker,
  createWorker,
  describeMachine,
  describeNode,
  type ExecGate,
  keepWakeServer,
  type Probe,
  type StepRunner,
  type WakeSetting,
  type WorkerOptions,
} from "@loom/worker";
import { createConditionLoop } from "./control/conditions.ts";
import { createDeliveryLoop } from "./control/deliveries.ts";
import { createDispatcher } from "./control/dispatch.ts";
import { createFaults } from "./control/faults.ts";
import { createLeadLoops, createRoundWaker, createScheduleWaker } from "./control/lead-loops.ts";
import { createLeader } from "./control/leader.ts";
import { createMaintenance } from "./control/maintenance.ts";
import { createNodeWaker, type WakeTarget } from "./control/node-waker.ts";
import { createNotifyLoop } from "./control/notify.ts";
import { createRoundLoop } from "./control/round.ts";
import { createScheduleLoop } from "./control/schedules.ts";
import { createWaitLoop } from "./control/waits.ts";
import { createHub } from "./create-hub.ts";
import { keepSwept } from "./files/sweep.ts";
import { createHubContext, type HubParts } from "./hub-context.ts";
import { followTailnet } from "./listen/follow-tailnet.ts";
import { serve } from "./listen/serve.ts";
import { createMetrics } from "./metrics/metrics.ts";
import { version } from "./version.ts";

/** The word for this machine's addresses in the tailnet, whichever they are. */
const TAILNET = "tailnet";
/** How long the start waits for workflow files. */
const FIRST_LOAD_MS = 3_000;

/** The options of a running hub: parts of its context, an address, and its own node. */
export interface StartOptions
  extends Pick<HubParts, "queue" | "planner" | "log" | "token" | "hosts" | "tailnet" | "tracing">,
    Pick<
      HubParts,
      | "defaultHost"
      | "tailnetClient"
      | "dashboard"
      | "retentionDays"
      | "seal"
      | "signingKey"
      | "files"
    > {
  /** How machines join; undefined: none can. */
  join?: Omit<JoinContext, "self" | "tailnetUrl"> | undefined;
  /** Runs the steps of the hub's own node. */
  runner: StepRunner;
  /** Addresses to listen on; `tailnet` is the one of this machine there, which the resolver knows. */
  bind: string | readonly string[];
  /** 0 picks a free port. */
  port: number;
  /** The hub's own node. */
  node: { name: string } & Pick<WorkerOptions, "leaseMs" | "machine">;
  /** Whether its runner fetches code: then it can run any version of any workflow. */
  acceptsCode?: boolean;
  /** Decides about commands on its machine; default: it runs none. */
  exec?: ExecGate | undefined;
  /** Capabilities of its machine besides those that are found there. */
  capabilities?: readonly string[];
  /** Steps that it runs at a time. Default 4. */
  slots?: number;
  /** Probes of the hub's own machine. */
  probes?: readonly Probe[];
  /** Where agents wake the hub. Default: any port of the machine's address in the tailnet. */
  wakeServer?: WakeSetting | undefined;
  /** Finds nodes and this machine in the tailnet. Without it, only this machine's nodes are woken. */
  resolver?: Resolver | undefined;
}

/** A hub at work. */
export interface RunningHub {
  url: string;
  /** Resolves when the hub has stopped; rejects when it could not go on. */
  done: Promise<void>;
}

/**
 * Serves the API and works for its own host until the signal aborts. While it leads the hubs, it also places jobs,
 * gives lost jobs back, starts the runs of schedules and removes old rows.
 *
 * @throws ListenError when it cannot listen on the address and port.
 */
export async function startHub(
  {
    bind,
    port,
    runner,
    acceptsCode = false,
    probes = [],
    capabilities = [],
    exec,
    slots,
    resolver,
    ...options
  }: StartOptions,
  { signal }: { signal: AbortSignal },
): Promise<RunningHub> {
  // A part that cannot go on ends the others: half a hub would look like a whole one.
  const fault = new AbortController();
  const stop = AbortSignal.any([signal, fault.signal]);
  const { node, wakeServer: wakeSetting, join, ...parts } = options;
  const hosts = [node.name, ...(parts.hosts ?? [])];
  const self = () => (resolver ? resolver.self() : NO_JOIN.self());
  const metrics = createMetrics();
  const hub = createHubContext({
    ...parts,
    node: node.name,
    hosts,
    join: {
      ...NO_JOIN,
      ...join,
      self,
      tailnetUrl: () => tailnetUrlOf(self, { bind: [bind].flat(), port: server.port, hosts }),
    },
    metrics,
    faults: createFaults({ log: parts.log, onFault: ({ loop }) => metrics.faults.inc({ loop }) }),
    stopping: stop,
  });
  const { queue, planner, log, tracing } = hub;

  let wakePort: number | undefined;
  const replyPort = () => wakePort;
  const nodeWaker = createNodeWaker({
    wakeClient: createWakeClient({
      log,
      replyPort,
      onWoken: (result) => metrics.wakes.inc({ result }),
    }),
    replyPort,
    boot: () => node.machine?.()?.boot,
    resolver,
    log,
  });
  const holder = `${node.name}/${randomUUID()}`;
  const leader = createLeader({ queue, holder, log: log.child({ loop: "lead" }) });
  const roundWaker = createRoundWaker({ leader, wakeLeader: nodeWaker.wake });
  const scheduleWaker = createScheduleWaker();
  const deliveryWaker = createWaker();
  const conditionWaker = createWaker();
  const waitWaker = createWaker();
  const notifyWaker = createWaker();

  const found = describeMachine();
  const code = acceptsCode ? [CODE_CAPABILITY] : [];
  const machine = { ...found, capabilities: [...found.capabilities, ...code] };
  const known = () => (acceptsCode ? [] : [...planner.workflows.values()]);
  const prober = createProber(probes, { log: log.child({ part: "probes" }) });
  const describe = () =>
    describeNode({ machine, declared: capabilities, reports: prober.reports() });
  const worker = createWorker({
    // The database adds `loom-hub` to its capabilities.
    node: { name: node.name, agentVersion: version, isHub: true, ...describe() },
    machine: node.machine,
    queue,
    workflows: known(),
    runner,
    exec,
    log: log.child({ node: node.name }),
    concurrency: slots ?? 4,
    ...(node.leaseMs && { leaseMs: node.leaseMs }),
    onStarted: (startMs) => metrics.start.observe({ node: node.name }, startMs / 1_000),
    onSettled() {
      hub.feed.wake();
      roundWaker.wakeLeader();
    },
    tracing,
  });
  planner.onChange(() => {
    worker.report({ workflows: known() });
    scheduleWaker.wake();
    notifyWaker.wake();
  });

  const wakeNode = (target: WakeTarget) =>
    target.name === node.name ? worker.wake() : nodeWaker.wake(target);
  const onJobsAdded = (pinnedTo: readonly string[] = [node.name]) => {
    // A pinned job needs no placing: its node is woken one call to the database before the loop does it.
    for (const host of new Set(pinnedTo)) {
      if (host === node.name) worker.wake();
      else nodeWaker.wakeAgain(host);
    }
    roundWaker.wakeLeader();
  };
  /** Wakes the nodes whose orders have changed. A node that is not reached learns with its next heartbeat. */
  const onOrders = (nodes: readonly string[] = []) => {
    worker.wake();
    // What was cancelled may make room for other jobs, or for the next run of a schedule.
    roundWaker.wakeLeader();
    queue.listWakeAddresses({ named: nodes }).then(
      (addresses) => addresses.forEach(wakeNode),
      (error: unknown) => log.warn({ nodes, err: error }, "nodes with new orders were not woken"),
    );
  };
  const rounds = createRoundLoop({
    ...hub,
    holder,
    leader,
    dispatcher: createDispatcher({ ...hub, onOffered: wakeNode }),
    wakeNode,
    onSchedules: scheduleWaker.note,
    onDeliveries: deliveryWaker.wake,
    onConditions: conditionWaker.wake,
    onWaits: waitWaker.wake,
  });
  const leadLoops = createLeadLoops({
    ...hub,
    leader,
    rounds,
    roundWaker,
    maintenance: createMaintenance(hub),
    scheduleWaker,
    deliveryWaker,
    deliveryLoop: createDeliveryLoop({
      ...hub,
      log: log.child({ loop: "deliver" }),
      onFree: deliveryWaker.wake,
    }),
    conditionWaker,
    conditionLoop: createConditionLoop({
      ...hub,
      log: log.child({ loop: "condition" }),
      onDecided: () => onJobsAdded(),
    }),
    waitWaker,
    waitLoop: createWaitLoop({ ...hub, onEnded: () => onJobsAdded() }),
    notifyWaker,
    notifyLoop: createNotifyLoop({ ...hub, log: log.child({ loop: "workflows" }) }),
    scheduleLoop: createScheduleLoop({
      ...hub,
      log: log.child({ loop: "schedule" }),
      onStarted: () => onJobsAdded(),
      onDecided: (slot) => metrics.slots.inc(slot),
    }),
  });
  const app = createHub({
    ...hub,
    tryWake: nodeWaker.tryWake,
    onJobsAdded,
    onOrders,
    onDeliveries: roundWaker.wakeLeader,
  });
  const addresses = [bind].flat().filter((address) => address !== TAILNET);
  const server = await serve(app.fetch, { bind: addresses, port, log });

  // Most workflows load at once. Slower ones become known when they have loaded.
  await Promise.race([planner.loaded, sleep(FIRST_LOAD_MS, undefined, { ref: false })]);
  const wakeServer = await keepWakeServer(
    {
      setting: wakeSetting,
      ownAddress: async () => (await resolver?.self())?.ip,
      log,
      onWake(from) {
        // A hub sends its wake address, an agent that has settled does not. A wake-up from a hub is not passed on to
        // the leader, so that hubs cannot wake each other in a circle.
        if (!from) {
          // An agent has settled: who waits for that learns of it without a poll.
          hub.feed.wake();
          return roundWaker.wakeLeader();
        }
        rounds.noteFollower();
        roundWaker.wake();
        worker.wake();
      },
      onOpen({ address, port: opened }) {
        wakePort = opened;
        worker.report({ tailnetAddress: address, wakePort: opened });
      },
    },
    { signal: stop },
  );
  const loops = [
    worker.run({ signal: stop }),
    prober.run({ onChange: () => worker.report(describe()), signal: stop }),
    ...leadLoops.run({ signal: stop }),
    ...(hub.files ? [keepSwept({ ...hub, files: hub.files }, { signal: stop })] : []),
  ];
  if ([bind].flat().includes(TAILNET)) {
    const self = async () => {
      if (!resolver) throw new Error("this hub was given no way to ask for the tailnet's address");
      return await resolver.self();
    };
    // The machine's full name is one of the hub's own from then on.
    const onOpen = ({ name }: { name: string }) => hosts.push(name);
    loops.push(followTailnet({ server, self, log, onOpen }, { signal: stop }));
  }
  for (const loop of loops) loop.catch((error: unknown) => fault.abort(error));
  stop.addEventListener("abort", () => server.refuse(), { once: true });

  const done = (async () => {
    await Promise.allSettled([...loops, wakeServer.done]);
    await Promise.all([server.close(), planner.close(), hub.files?.uploads.close()]);
    fault.signal.throwIfAborted();
  })();
  // A caller that awaits `done` later still gets the error.
  done.catch(() => {});
  return { url: server.url, done };
}

/** The hub's address for machines of the tailnet; undefined where it does not listen on it. */
async function tailnetUrlOf(
  self: JoinContext["self"],
  { bind, port, hosts }: { bind: readonly string[]; port: number; hosts: readonly string[] },
): Promise<string | undefined> {
  const own = await self().catch(() => undefined);
  const isEverywhere = ["0.0.0.0", "::", TAILNET].some((each) => bind.includes(each));
  const address = own?.addresses.find(
    (each) => bind.includes(each) || (isEverywhere && isIPv4(each)),
  );
  if (own === undefined || address === undefined) return undefined;
  // A hub answers to names that it knows only.
  return `http://${hosts.includes(own.fqdn) ? own.fqdn : isIPv6(address) ? `[${address}]` : address}:${port}`;
}

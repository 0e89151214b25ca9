import { randomUUID } from "node:crypto";
import type { Queue } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import {
  createProber,
  createRinger,
  createWorker,
  type DoorbellSetting,
  describeMachine,
  keepDoorbell,
  type Log,
  type Probe,
  type StepRunner,
  type Tracing,
  toOffer,
  type WorkerOptions,
} from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import type { TailnetAccess } from "./access/tailnet.ts";
import { createHub } from "./create-hub.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createLeadLoops } from "./loops/lead-loops.ts";
import { createLeader } from "./loops/leader.ts";
import { createTimetable } from "./loops/timetable.ts";
import type { Mesh } from "./mesh/mesh.ts";
import { createMetrics } from "./metrics/metrics.ts";
import { createDoorbells, type Rung } from "./ring-doorbells.ts";
import { serve } from "./serve.ts";
import { version } from "./version.ts";

/** Steps at a time on the hub's own node. */
const SLOTS = 4;

/** What a hub needs to run. */
export interface HubOptions {
  queue: Queue;
  workflows: readonly AnyWorkflow[];
  /** Where the steps of the hub's own node run. */
  runner: StepRunner;
  log: Log;
  /** Bearer token of the API. Leave it undefined only on a loopback address. */
  token: string | undefined;
  /** Address to listen on. */
  bind: string;
  /** 0 takes a free one. */
  port: number;
  /** Further names by which the hub may be asked for; its node's name is one anyway. */
  hosts?: readonly string[];
  /** The node that is preferred for steps that neither require nor prefer anything. */
  defaultHost?: string | undefined;
  /** The tailnet that the hub is in. */
  mesh?: Mesh;
  /** Lets the tailnet's people and machines in without a token. */
  tailnet?: TailnetAccess;
  /** Writes spans of requests, placing and steps; default: none. */
  tracing?: Tracing;
  /** The folder of the built dashboard. */
  dashboard?: string;
  /** The hub's own node. */
  node: { name: string } & Pick<WorkerOptions, "leaseMs">;
  /** What to look for on the hub's own machine. */
  probes?: readonly Probe[];
  /** Where agents ring. Default: any port of the machine's address in the tailnet. */
  doorbell?: DoorbellSetting | undefined;
  /** Finds nodes and this machine in the tailnet. Without one, only this machine's nodes are rung. */
  resolver?: Resolver | undefined;
}

/** A hub at work. */
export interface RunningHub {
  url: string;
  /** Resolves when the hub has stopped; rejects when it could not go on. */
  done: Promise<void>;
}

/**
 * Serves the API and works for its own host, until the signal aborts. While it leads the hubs, it also
 * places jobs, reaps, starts the runs of schedules and removes what is old.
 *
 * @throws ListenError when the address or the port cannot be had.
 */
export async function startHub(
  { queue, log, node, resolver, ...options }: HubOptions,
  { signal }: { signal: AbortSignal },
): Promise<RunningHub> {
  const traced = options.tracing && { tracing: options.tracing };
  const metrics = createMetrics();
  let bellPort: number | undefined;
  const ringBack = () => bellPort;
  const doorbells = createDoorbells({
    ringer: createRinger({
      log,
      ringBack,
      onRung: (result) => metrics.rings.inc({ result }),
    }),
    ringBack,
    resolver,
    log,
  });
  const ringNode = (rung: Rung) => (rung.name === node.name ? worker.ring() : doorbells.ring(rung));
  const machine = describeMachine();
  const prober = createProber(options.probes ?? [], { log: log.child({ part: "probes" }) });
  const offer = () =>
    toOffer({
      machine: { ...machine, capabilities: [...machine.capabilities, "loom-hub"] },
      declared: [],
      reports: prober.reports(),
    });
  const worker = createWorker({
    node: { name: node.name, agentVersion: version, ...offer() },
    queue,
    workflows: options.workflows,
    runner: options.runner,
    log: log.child({ node: node.name }),
    concurrency: SLOTS,
    ...(node.leaseMs && { leaseMs: node.leaseMs }),
    onStarted: (startMs) => metrics.start.observe({ node: node.name }, startMs / 1_000),
    onSettled: () => leading.ring(),
    ...traced,
  });
  const workflows = new Map(options.workflows.map((workflow) => [workflow.name, workflow]));
  const onJobsAdded = (pinnedTo: readonly string[] = [node.name]) => {
    // What is pinned needs no placing: its node is rung a call to the database earlier than by the loop.
    for (const host of new Set(pinnedTo)) {
      if (host === node.name) worker.ring();
      else doorbells.ringAgain(host);
    }
    leading.ring();
  };
  const leading = createLeadLoops({
    queue,
    leader: createLeader({
      queue,
      holder: `${node.name}/${randomUUID()}`,
      log: log.child({ loop: "lead" }),
    }),
    dispatcher: createDispatcher({ queue, log, onOffered: ringNode, ...traced }),
    timetable: createTimetable({
      queue,
      workflows,
      log: log.child({ loop: "schedule" }),
      defaultHost: options.defaultHost,
      onStarted: () => onJobsAdded(),
      onDecided: (slot) => metrics.slots.inc(slot),
    }),
    ringNode,
    log,
  });
  // One part that cannot go on ends the others: half a hub would look like a whole one.
  const fault = new AbortController();
  const stop = AbortSignal.any([signal, fault.signal]);
  const app = createHub({
    queue,
    workflows,
    log,
    token: options.token,
    hosts: [node.name, ...(options.hosts ?? [])],
    node: node.name,
    defaultHost: options.defaultHost,
    mesh: options.mesh,
    tryRing: (rung) => doorbells.tryRing(rung),
    ...(options.tailnet && { tailnet: options.tailnet }),
    dashboard: options.dashboard,
    stopping: stop,
    onJobsAdded,
    metrics,
    ...traced,
  });
  const server = await serve(app.fetch, { bind: options.bind, port: options.port, log });

  const bell = await keepDoorbell(
    {
      setting: options.doorbell,
      ownAddress: async () => (await resolver?.self())?.ip,
      log,
      onRing(from) {
        // Hubs say where to ring back, agents that have settled do not. What a hub rang is not passed on
        // to another, so that no ring goes to and fro between them.
        if (from) leading.look();
        else leading.ring();
        worker.ring();
      },
      onOpen({ address, port }) {
        bellPort = port;
        worker.report({ tailnetAddress: address, doorbellPort: port });
      },
    },
    { signal: stop },
  );
  const loops = [
    worker.run({ signal: stop }),
    prober.run({ onChange: () => worker.report(offer()), signal: stop }),
    ...leading.run({ signal: stop }),
  ];
  for (const loop of loops) loop.catch((error: unknown) => fault.abort(error));
  stop.addEventListener("abort", () => server.refuse(), { once: true });

  const done = (async () => {
    await Promise.allSettled([...loops, bell.done]);
    await server.close();
    fault.signal.throwIfAborted();
  })();
  // Whoever awaits `done` gets the error; nobody may have come to that yet.
  done.catch(() => {});
  return { url: server.url, done };
}

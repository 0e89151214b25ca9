import { randomUUID } from "node:crypto";
import type { Queue } from "@loom/queue";
import {
  createBell,
  createWorker,
  describeMachine,
  type Log,
  repeat,
  type StepRunner,
  type WorkerOptions,
} from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import type { TailnetAccess } from "./access/tailnet.ts";
import { createHub } from "./create-hub.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createLeader } from "./loops/leader.ts";
import { createTimetable } from "./loops/timetable.ts";
import { serve } from "./serve.ts";
import { version } from "./version.ts";

/** How often to look for waiting jobs when nothing rang, and for dead nodes. */
const PLACE_MS = 1_000;
const REAP_MS = 1_000;
/** How often to remove what was finished long ago. */
const PRUNE_MS = 3_600_000;
/** And for this long after an offer: its node may soon have a free slot, or a next step be due. */
const BUSY_FOR_MS = 5_000;
const PLACE_BUSY_MS = 200;
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
  /** Lets the tailnet's people and machines in without a token. */
  tailnet?: TailnetAccess;
  /** The hub's own node. */
  node: { name: string } & Pick<WorkerOptions, "leaseMs">;
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
  { queue, log, node, ...options }: HubOptions,
  { signal }: { signal: AbortSignal },
): Promise<RunningHub> {
  const dispatcher = createDispatcher({ queue, log });
  const placing = createBell();
  const reaping = createBell();
  const pruning = createBell();
  const scheduling = createBell();
  const leader = createLeader({
    queue,
    holder: `${node.name}/${randomUUID()}`,
    log: log.child({ loop: "lead" }),
  });
  const machine = describeMachine();
  const worker = createWorker({
    node: {
      name: node.name,
      capabilities: [...machine.capabilities, "loom-hub"],
      agentVersion: version,
      facts: machine.facts,
    },
    queue,
    workflows: options.workflows,
    runner: options.runner,
    log: log.child({ node: node.name }),
    concurrency: SLOTS,
    ...(node.leaseMs && { leaseMs: node.leaseMs }),
    onSettled: () => placing.ring(),
  });
  const workflows = new Map(options.workflows.map((workflow) => [workflow.name, workflow]));
  const onJobsAdded = () => {
    placing.ring();
    // A step that is pinned to this node needs no placing.
    worker.ring();
  };
  const timetable = createTimetable({
    queue,
    workflows,
    log: log.child({ loop: "schedule" }),
    onStarted: onJobsAdded,
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
    ...(options.tailnet && { tailnet: options.tailnet }),
    stopping: stop,
    onJobsAdded,
  });
  const server = await serve(app.fetch, { bind: options.bind, port: options.port, log });

  let busyUntil = 0;
  const place = async () => {
    const offered = await dispatcher.place();
    if (offered.size > 0) busyUntil = performance.now() + BUSY_FOR_MS;
    if (offered.has(node.name)) worker.ring();
  };
  let scheduleMs = 0;
  const leadLoop = (
    name: string,
    round: (epoch: number) => Promise<void>,
    pause: () => Promise<void>,
  ) =>
    repeat(
      {
        async round() {
          const epoch = await leader.whenLeading();
          if (epoch !== undefined) await round(epoch);
        },
        pause,
      },
      { signal: stop, log: log.child({ loop: name }) },
    );
  const leading = [
    leader.keep({ signal: stop }),
    leadLoop("place", place, () =>
      placing.wait(performance.now() < busyUntil ? PLACE_BUSY_MS : PLACE_MS, stop),
    ),
    leadLoop(
      "reap",
      () => dispatcher.reap(),
      () => reaping.wait(REAP_MS, stop),
    ),
    leadLoop(
      "prune",
      () => dispatcher.prune(),
      () => pruning.wait(PRUNE_MS, stop),
    ),
    leadLoop(
      "schedule",
      async (epoch) => {
        scheduleMs = await timetable.round(epoch);
      },
      () => scheduling.wait(scheduleMs, stop),
    ),
  ];
  // Not when the worker is done too: its steps may go on for a while.
  const resigned = Promise.allSettled(leading).then(() => leader.resign());
  const loops = [worker.run({ signal: stop }), ...leading, resigned];
  for (const loop of loops) loop.catch((error: unknown) => fault.abort(error));
  stop.addEventListener("abort", () => server.refuse(), { once: true });

  const done = (async () => {
    await Promise.allSettled(loops);
    await server.close();
    fault.signal.throwIfAborted();
  })();
  // Whoever awaits `done` gets the error; nobody may have come to that yet.
  done.catch(() => {});
  return { url: server.url, done };
}

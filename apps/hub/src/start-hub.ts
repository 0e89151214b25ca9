import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Queue } from "@loom/queue";
import {
  createBell,
  createWorker,
  describeMachine,
  type Log,
  repeat,
  type WorkerOptions,
} from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import { createHub } from "./create-hub.ts";
import { createDispatcher } from "./dispatcher.ts";

/** How often to look for waiting jobs when nothing rang, and for dead nodes. */
const PLACE_MS = 1_000;
const REAP_MS = 1_000;

export interface HubOptions {
  queue: Queue;
  workflows: readonly AnyWorkflow[];
  log: Log;
  token: string | undefined;
  /** Address to listen on. */
  bind: string;
  /** 0 takes a free one. */
  port: number;
  /** The hub's own node. */
  node: { name: string } & Pick<WorkerOptions, "leaseMs">;
}

export interface RunningHub {
  url: string;
  /** Resolves when the hub has stopped; rejects when it could not go on. */
  done: Promise<void>;
}

/**
 * Serves the API, places jobs, reaps, and works for its own host, until the signal aborts.
 *
 * @throws When the port cannot be listened on.
 */
export async function startHub(
  options: HubOptions,
  { signal }: { signal: AbortSignal },
): Promise<RunningHub> {
  const { queue, log } = options;
  const dispatcher = createDispatcher({ queue, log });
  const placing = createBell();
  const machine = describeMachine();
  const worker = createWorker({
    node: {
      name: options.node.name,
      capabilities: [...machine.capabilities, "loom-hub"],
      facts: machine.facts,
    },
    queue,
    workflows: options.workflows,
    log: log.child({ node: options.node.name }),
    concurrency: 4,
    ...(options.node.leaseMs && { leaseMs: options.node.leaseMs }),
    onSettled: () => placing.ring(),
  });
  const app = createHub({
    queue,
    workflows: new Map(options.workflows.map((workflow) => [workflow.name, workflow])),
    log,
    token: options.token,
    onRunStarted: () => {
      placing.ring();
      worker.ring();
    },
  });

  const server = createAdaptorServer({ fetch: app.fetch });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.bind, resolve);
  });
  const { port } = server.address() as AddressInfo;

  // One part that cannot go on ends the others: half a hub would look like a whole one.
  const fault = new AbortController();
  const stop = AbortSignal.any([signal, fault.signal]);
  const reaping = createBell();
  const loops = [
    worker.run({ signal: stop }),
    repeat(
      {
        round: async () => {
          const offered = await dispatcher.place();
          if (offered.has(options.node.name)) worker.ring();
        },
        pause: () => placing.wait(PLACE_MS, stop),
      },
      { signal: stop, log: log.child({ loop: "place" }) },
    ),
    repeat(
      { round: () => dispatcher.reap(), pause: () => reaping.wait(REAP_MS, stop) },
      { signal: stop, log: log.child({ loop: "reap" }) },
    ),
  ];
  const done = (async () => {
    for (const loop of loops) loop.catch((error: unknown) => fault.abort(error));
    await Promise.allSettled(loops);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      if ("closeAllConnections" in server) server.closeAllConnections();
    });
    if (fault.signal.aborted) throw fault.signal.reason;
  })();
  // Whoever awaits `done` gets the error; nobody may have come to that yet.
  done.catch(() => {});

  const host = options.bind.includes(":") ? `[${options.bind}]` : options.bind;
  return { url: `http://${host}:${port}`, done };
}

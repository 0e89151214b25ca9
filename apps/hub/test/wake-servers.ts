import { startHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import {
  createInlinePlanner,
  createInlineRunner,
  openWakeServer,
  type WakeAddress,
} from "@loom/worker";
import { onTestFinished } from "vitest";
import { collectLog, sayHello, TOKEN, workflows } from "./fixtures.ts";

/** A hub at work, until the end of the test. */
export async function start(queue: Queue, name = "oracle") {
  const stop = new AbortController();
  const { log } = collectLog();
  const hub = await startHub(
    {
      queue,
      planner: createInlinePlanner(workflows),
      runner: createInlineRunner(workflows),
      log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name },
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await hub.done;
  });
  return hub;
}

/** A node with a wake server and nobody who claims; `woken` resolves with the next wake. */
export async function joinWithWakeServer(queue: Queue, name: string, capabilities: string[] = []) {
  let next = Promise.withResolvers<WakeAddress | undefined>();
  const wakeServer = await openWakeServer({
    address: "127.0.0.1",
    onWake: (replyPort) => {
      next.resolve(replyPort);
      next = Promise.withResolvers();
    },
  });
  onTestFinished(() => wakeServer.close());
  const session = await sayHello(queue, name, { capabilities });
  await queue.reportNode(session, {
    capabilities,
    slots: 10,
    tailnetAddress: wakeServer.address,
    wakePort: wakeServer.port,
  });
  return { woken: () => next.promise, close: () => wakeServer.close() };
}

export const run = (url: string, workflow: string, input?: unknown) =>
  fetch(`${url}/api/loom/strands/${workflow}/run`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify(input === undefined ? {} : { input }),
  });

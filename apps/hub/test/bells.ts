import { startHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { type BellAddress, createInlineRunner, openDoorbell } from "@loom/worker";
import { onTestFinished } from "vitest";
import { collectLog, sayHello, TOKEN, workflows } from "./fixtures.ts";

/** A hub at work, until the end of the test. */
export async function start(queue: Queue, name = "oracle") {
  const stop = new AbortController();
  const { log } = collectLog();
  const hub = await startHub(
    {
      queue,
      workflows,
      runner: createInlineRunner(),
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

/** A node with a doorbell and nobody who claims; `rung` resolves with the next ring. */
export async function joinWithBell(queue: Queue, name: string, capabilities: string[] = []) {
  let next = Promise.withResolvers<BellAddress | undefined>();
  const bell = await openDoorbell({
    address: "127.0.0.1",
    onRing: (ringBack) => {
      next.resolve(ringBack);
      next = Promise.withResolvers();
    },
  });
  onTestFinished(() => bell.close());
  const session = await sayHello(queue, name, { capabilities });
  await queue.reportNode(session, {
    capabilities,
    slots: 10,
    tailnetAddress: bell.address,
    doorbellPort: bell.port,
  });
  return { rung: () => next.promise, close: () => bell.close() };
}

export const run = (url: string, workflow: string, input?: unknown) =>
  fetch(`${url}/api/loom/strands/${workflow}/run`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify(input === undefined ? {} : { input }),
  });

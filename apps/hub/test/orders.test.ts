import { startHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import {
  createInlinePlanner,
  createInlineRunner,
  createWorker,
  keepWakeServer,
} from "@loom/worker";
import { defineWorkflow, toManifest } from "@loom/workflow";
import { describe, expect, onTestFinished } from "vitest";
import { z } from "zod";
import { collectLog, TOKEN, test } from "./fixtures.ts";

/** Half of the time between two heartbeats: an order that comes sooner did not wait for one. */
const SOON_MS = 7_000;

/** A workflow whose step waits until it is aborted, and tells when it began and why it ended. */
function createWait() {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  const workflow = defineWorkflow({
    name: "wait",
    input: z.object({ host: z.string() }),
  }).step("wait", { host: ({ input }) => input.host }, async ({ signal }) => {
    begun.resolve();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended.resolve(signal.reason);
    throw signal.reason;
  });
  return { workflow, begun: begun.promise, ended: ended.promise };
}

/**
 * A hub with its own node `oracle`, and an agent of the node `forge`. While their only slots are taken, both have heartbeats
 * every 15 s.
 */
async function startMesh(queue: Queue) {
  const stop = new AbortController();
  const { log } = collectLog();
  const wait = createWait();
  const hub = await startHub(
    {
      queue,
      planner: createInlinePlanner([wait.workflow]),
      runner: createInlineRunner([wait.workflow]),
      log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name: "oracle" },
      slots: 1,
    },
    { signal: stop.signal },
  );
  const forge = createWorker({
    node: { name: "forge", capabilities: [] },
    queue,
    workflows: [toManifest(wait.workflow)],
    runner: createInlineRunner([wait.workflow]),
    log,
    graceMs: 0,
  });
  const wakeServer = await keepWakeServer(
    {
      ownAddress: async () => undefined,
      log,
      onWake: () => forge.wake(),
      onOpen: ({ address, port }) => forge.report({ tailnetAddress: address, wakePort: port }),
    },
    { signal: stop.signal },
  );
  const working = forge.run({ signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await Promise.all([hub.done, working, wakeServer.done]);
  });

  async function post(path: string, body: unknown = {}) {
    const answer = await fetch(`${hub.url}/api/loom${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.ok, path).toBe(true);
    return (await answer.json()) as { runId: string };
  }
  return {
    forge,
    post,
    ended: wait.ended,
    async begin(host: string) {
      await expect.poll(() => forge.status().session.state).toBe("open");
      const { runId } = await post("/strands/wait/run", { input: { host } });
      await wait.begun;
      return runId;
    },
  };
}

/** Fails when a promise takes so long that a heartbeat may have brought the order. */
const soon = <T>(promise: Promise<T>): Promise<T> => {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not within ${SOON_MS} ms`)), SOON_MS);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
};

describe("orders reach a node before its next heartbeat", () => {
  test.for(["forge", "oracle"])("a cancel of a run, on %s", async (host, { queue }) => {
    const { begin, post, ended } = await startMesh(queue);
    const runId = await begin(host);
    await post(`/runs/${runId}/cancel`);
    expect(await soon(ended)).toMatchObject({ name: "CancelledError" });
  });

  test("a cancel of a job", async ({ queue }) => {
    const { begin, post, ended } = await startMesh(queue);
    const runId = await begin("forge");
    const [job] = (await queue.getRun(runId)).jobs;
    await post(`/jobs/${job?.id}/cancel`);
    expect(await soon(ended)).toMatchObject({ name: "CancelledError" });
  });

  test.for([
    { verb: "pause", status: "paused" },
    { verb: "drain", status: "draining" },
  ])("a $verb, and its end", async ({ verb, status }, { queue }) => {
    const { forge, post, begin } = await startMesh(queue);
    await begin("forge");
    const untilStatus = (wanted: string) =>
      expect.poll(() => forge.status().nodeStatus, { timeout: SOON_MS }).toBe(wanted);
    await untilStatus("active");
    await post(`/nodes/forge/${verb}`);
    await untilStatus(status);
    await post("/nodes/forge/resume");
    await untilStatus("active");
  });

  test("the deadline of a drain, which nobody wakes for", async ({ queue }) => {
    const { post, begin, ended } = await startMesh(queue);
    await begin("forge");
    await post("/nodes/forge/drain", { forMs: 300 });
    expect(await soon(ended)).toMatchObject({ name: "ShutdownError" });
  });
});

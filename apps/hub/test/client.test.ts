import { createHubClient, everyPage, HubError, waitForRun } from "@loom/client";
import { createHub } from "@loom/hub";
import { untilReadable } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { serve } from "../src/listen/serve.ts";
import { test as base, claim, runAll, sayHello, TOKEN, workflows } from "./fixtures.ts";
import { type Document, operationsOf } from "./openapi.ts";

const log = pino({ level: "silent" });

/** A client of a hub on a port. */
const test = base.extend("hub", async ({ queue }, { onCleanup }) => {
  const stopping = new AbortController();
  const app = createHub({
    queue,
    planner: createInlinePlanner(workflows),
    log,
    token: TOKEN,
    stopping: stopping.signal,
  });
  const server = await serve(app.fetch, { bind: "127.0.0.1", port: 0, log });
  onCleanup(async () => {
    stopping.abort();
    await server.close();
  });
  return { url: server.url, client: createHubClient({ url: server.url, token: TOKEN }) };
});

describe("a client", () => {
  test("has a function for every operation of the document", async ({ app, hub }) => {
    const document = (await (await app.request("/openapi.json")).json()) as Document;
    expect(Object.keys(hub.client).sort()).toEqual(
      operationsOf(document)
        .map(({ id }) => id)
        .sort(),
    );
  });

  test("starts a run, follows it to its end, and reads what it came to", async ({ hub, queue }) => {
    const { client } = hub;
    const { runId } = await client.startRun("chain", { input: {} });
    const seen: string[] = [];
    for await (const { event, data } of client.streamRunEvents(runId)) {
      seen.push(event);
      if (event === "snapshot") expect(data.status).toBe("running");
      if (event === "snapshot") await runAll(queue, await sayHello(queue, "forge"));
      if (event === "end") expect(data).toEqual(await client.getRun(runId));
    }
    expect(seen[0]).toBe("snapshot");
    expect(seen.slice(-2)).toEqual(["run.finished", "end"]);
    expect(await client.getRun(runId)).toMatchObject({ status: "succeeded" });

    const { runId: again } = await client.retryRun(runId, { mode: "from", step: "f" });
    expect(await client.cancelRun(again)).toEqual({ status: "cancelled" });
    const ids: string[] = [];
    for await (const { id } of everyPage(client.listRuns, { workflow: "chain", limit: 1 }))
      ids.push(id);
    expect(ids).toEqual([again, runId]);
  });

  test("waits for a run that goes on, and for one that is over", async ({ hub, queue }) => {
    const { client } = hub;
    const { runId } = await client.startRun("chain", { input: {} });
    const [ended] = await Promise.all([
      waitForRun(client, runId),
      runAll(queue, await sayHello(queue, "forge")),
    ]);
    expect(ended).toMatchObject({ id: runId, status: "succeeded" });
    expect(await waitForRun(client, runId)).toEqual(ended);
    await expect(waitForRun(client, "nope")).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
  });

  test("reads a job's output to its end", async ({ hub, queue }) => {
    const { client } = hub;
    const { jobs } = await client.addJobs([{ workflow: "hello", step: "greet", host: "forge" }]);
    const id = jobs[0]?.id ?? 0;
    const [job] = await claim(queue, await sayHello(queue, "forge"), 1);
    const owned = { node: "forge", id, fence: job?.fence ?? 0 };
    await queue.appendLog(owned, [{ start: 0, chunk: "one\n" }]);
    await queue.settle("forge", [{ ...owned, outcome: "succeeded", result: null }]);
    let output = "";
    for await (const event of client.streamJobLog(id)) {
      if (event.event === "log") output += event.data.text;
    }
    expect(output).toBe("one\n");
    expect(await client.getJobLog(id, { offset: 2 })).toMatchObject({ text: "e\n" });
  });

  test("throws what the hub refuses, with its code", async ({ hub }) => {
    const refusal = await hub.client.getRun("nope").catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(HubError);
    expect(refusal).toMatchObject({
      status: 404,
      code: "RUN_NOT_FOUND",
      requestId: expect.any(String),
      problem: { title: "Run not found" },
    });
    const stream = hub.client.streamRunEvents("nope");
    await expect(stream.next()).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
    await expect(hub.client.getStrand("a/../b")).rejects.toMatchObject({
      code: "UNKNOWN_WORKFLOW",
    });
    const stranger = createHubClient({ url: hub.url });
    await expect(stranger.listRuns()).rejects.toMatchObject({ status: 401 });
  });

  // The hub has done it; the answer is lost on its way.
  test("does once what it has to ask for twice", async ({ hub, queue }) => {
    let lost = 0;
    const flaky: typeof fetch = async (address, init) => {
      const answer = await fetch(address, init);
      if (init?.method === "POST" && lost < 2) {
        lost += 1;
        throw new TypeError("fetch failed");
      }
      return answer;
    };
    const client = createHubClient({ url: hub.url, token: TOKEN, fetch: flaky });
    const { runId } = await client.startRun("hello");
    expect(lost).toBe(2);
    expect((await queue.listRuns()).runs.map(({ id }) => id)).toEqual([runId]);
  });

  test("goes on where a stream broke off", { timeout: 20_000 }, async ({ hub, queue }) => {
    let opened = 0;
    // The first connection breaks after its first event.
    const breaking: typeof fetch = async (address, init) => {
      const answer = await fetch(address, init);
      opened += 1;
      if (opened > 1 || !answer.body) return answer;
      const reader = answer.body.getReader();
      let text = "";
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { value = new Uint8Array() } = await reader.read();
          text += new TextDecoder().decode(value);
          controller.enqueue(value);
          if (!text.includes("workflow.paused")) return;
          await reader.cancel();
          controller.error(new TypeError("terminated"));
        },
      });
      return new Response(body, { headers: answer.headers });
    };
    const client = createHubClient({ url: hub.url, token: TOKEN, fetch: breaking });
    const stream = client.streamEvents();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { event, data } of stream) {
        if (event !== "workflow.paused") continue;
        seen.push(data.detail);
        if (seen.length === 1) await queue.pauseWorkflow("b");
        if (seen.length === 2) return;
      }
    })();
    while (opened === 0) await queue.listPaused();
    // It begins, which is when it is open.
    await queue.pauseWorkflow("a");
    await reading;
    expect(seen).toEqual(["a", "b"]);
    expect(opened).toBe(2);
  });

  test("sends past events on request", async ({ hub, queue, database }) => {
    await queue.pauseWorkflow("a");
    await untilReadable(database);
    const seen: string[] = [];
    for await (const { event, data } of hub.client.streamEvents({ pastMs: 60_000 })) {
      if (event === "now" || event === "reset") {
        // @ts-expect-error: these tell nothing but their name
        seen.push(event, data.at);
        break;
      }
      seen.push(event, data.at);
    }
    expect(seen).toEqual(["workflow.paused", expect.any(String), "now", undefined]);
  });

  test("stops waiting when it is aborted", async ({ hub }) => {
    const stop = new AbortController();
    const stream = hub.client.streamEvents({ signal: stop.signal });
    const next = stream.next();
    const explained = hub.client.explain({ requires: ["has-gpu"] }, { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(next).rejects.toThrow();
    await expect(explained).rejects.toThrow("enough");
  });
});

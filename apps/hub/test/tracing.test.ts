import { startHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import {
  createInlinePlanner,
  createInlineRunner,
  createProcessRunner,
  createWorker,
  openTelemetry,
  ownCode,
  type Tracing,
} from "@loom/worker";
import { trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { describe, expect, onTestFinished } from "vitest";
import { type Body, collectLog, TOKEN, test } from "./fixtures.ts";
import { traced } from "./workflows/traced.ts";

const MODULE = new URL("workflows/traced.ts", import.meta.url).href;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

/** A hub, and an agent on another node that shares nothing with it but the database. */
async function startMesh(queue: Queue, tracing?: Tracing) {
  const stop = new AbortController();
  const { lines, log } = collectLog();
  const hub = await startHub(
    {
      queue,
      planner: createInlinePlanner([traced]),
      runner: createInlineRunner([traced]),
      log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name: "oracle" },
      ...(tracing && { tracing }),
    },
    { signal: stop.signal },
  );
  const agent = createWorker({
    node: { name: "tower", capabilities: ["has-gpu"] },
    queue,
    workflows: [traced],
    runner: createProcessRunner({
      code: ownCode(new Map([[traced.name, { url: MODULE }]])),
      env: { PATH: process.env.PATH },
      execArgv: ["--conditions=@loom/source"],
    }),
    log: log.child({ node: "tower" }),
    pollMs: 50,
    ...(tracing && { tracing }),
  });
  const working = agent.run({ signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await Promise.all([working, hub.done]);
  });
  // Before the hub knows a node that has what the step requires, it refuses to start the run.
  await expect.poll(() => queue.listNodes()).toHaveLength(2);
  const ask = async (method: string, path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${hub.url}/api/loom${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    });
    return { body: (await answer.json()) as Body, requestId: answer.headers.get("x-request-id") };
  };
  return {
    lines,
    /** Runs the workflow to its end, and gives the result of its step. */
    async run(headers: Record<string, string> = {}) {
      const { body, requestId } = await ask("POST", "/strands/traced/run", headers);
      const read = async () => (await ask("GET", `/runs/${body.runId}`)).body;
      await expect.poll(read).toMatchObject({ status: "succeeded" });
      const { steps } = (await read()) as { steps: { id: number; result: Body }[] };
      return { runId: body.runId, requestId, jobId: steps[0]?.id, result: steps[0]?.result };
    },
  };
}

describe("a traceparent", () => {
  test("leads from a request over the placing to the step on another node", async ({ queue }) => {
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    });
    trace.setGlobalTracerProvider(provider);
    onTestFinished(() => trace.disable());
    const { run } = await startMesh(queue, await openTelemetry());
    const { result } = await run({ traceparent: `00-${TRACE}-00f067aa0ba902b7-01` });

    const spans = exporter
      .getFinishedSpans()
      .filter((span) => span.spanContext().traceId === TRACE);
    const idOf = (name: string) => spans.find((span) => span.name === name)?.spanContext().spanId;
    expect(spans.map(({ name, parentSpanContext }) => [name, parentSpanContext?.spanId])).toEqual(
      expect.arrayContaining([
        ["POST startRun", "00f067aa0ba902b7"],
        ["place", idOf("POST startRun")],
        ["traced/tell", idOf("POST startRun")],
      ]),
    );
    const own = `00-${TRACE}-${idOf("traced/tell")}-01`;
    expect(result).toEqual({ traceparent: own, ofPrograms: own });
    expect(spans.find(({ name }) => name === "traced/tell")?.attributes).toMatchObject({
      "loom.node": "tower",
      "loom.outcome": "succeeded",
    });
  });

  test("is passed on where nobody traces, and none is made up", async ({ queue }) => {
    const { run } = await startMesh(queue);
    const given = `00-${TRACE}-00f067aa0ba902b7-01`;
    expect((await run({ traceparent: given })).result).toEqual({
      traceparent: given,
      ofPrograms: given,
    });
    for (const invalid of ["", "00-0-0-00", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`]) {
      expect((await run({ traceparent: invalid })).result).toEqual({
        traceparent: null,
        ofPrograms: "",
      });
    }
  });
});

describe("the log", () => {
  test("leads from a request to its run, and from there to the job on its node", async ({
    queue,
  }) => {
    const { run, lines } = await startMesh(queue);
    const { runId, requestId, jobId } = await run();
    const said = (msg: string, facts: Body) =>
      expect
        .poll(() => lines.filter((line) => line.msg === msg))
        .toEqual([expect.objectContaining(facts)]);
    await said("request done", { requestId, runId, action: "startRun" });
    await said("job offered", { runId, jobId, node: "tower" });
    await said("step started", { runId, jobId, node: "tower", startMs: expect.any(Number) });
    await said("attempt settled", { runId, jobId, node: "tower", outcome: "succeeded" });
    expect(JSON.stringify(lines)).not.toContain(TOKEN);
  });
});

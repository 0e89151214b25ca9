import { once } from "node:events";
import { connect } from "node:net";
import { createHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { untilReadable } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect, onTestFinished } from "vitest";
import { serve } from "../src/listen/serve.ts";
import { test as base, claim, runAll, sayHello, TOKEN, workflows } from "./fixtures.ts";
import { openStream } from "./sse.ts";

const log = pino({ level: "silent" });

/** A hub on a port, over a queue whose readings of events are counted. */
const test = base.extend("served", async ({ queue }, { onCleanup }) => {
  const stopping = new AbortController();
  const reads: (string | null)[] = [];
  const counted: Queue = {
    ...queue,
    readEvents(options = {}) {
      reads.push(options.after ?? null);
      return queue.readEvents(options);
    },
  };
  const app = createHub({
    queue: counted,
    planner: createInlinePlanner(workflows),
    log,
    token: TOKEN,
    rateLimit: { burst: 10_000, perSecond: 10_000 },
    maxStreams: 300,
    maxStreamsEach: 300,
    stopping: stopping.signal,
  });
  const server = await serve(app.fetch, { bind: "127.0.0.1", port: 0, log });
  onCleanup(async () => {
    stopping.abort();
    await server.close();
  });
  const headers = { authorization: `Bearer ${TOKEN}` };
  return {
    url: server.url,
    reads,
    stop: () => stopping.abort(),
    close: () => server.close(),
    open: (path: string, more: Record<string, string> = {}) =>
      openStream(`${server.url}/api/loom${path}`, { ...headers, ...more }),
    start: async (workflow: string) => {
      const answer = await fetch(`${server.url}/api/loom/strands/${workflow}/run`, {
        method: "POST",
        headers,
      });
      return ((await answer.json()) as { runId: string }).runId;
    },
  };
});

describe("a run's events", () => {
  test("begin with the run as it is, and end with it", async ({ served, queue }) => {
    const runId = await served.start("chain");
    const stream = await served.open(`/runs/${runId}/events`);
    expect(stream.answer.headers.get("content-type")).toBe("text/event-stream");
    expect(stream.answer.headers.get("cache-control")).toBe("no-store");
    expect(await stream.next()).toMatchObject({
      event: "snapshot",
      data: { id: runId, status: "running" },
    });
    await served.start("hello");
    await runAll(queue, await sayHello(queue, "forge"));
    const frames = await stream.until("end");
    expect(frames.filter(({ event }) => event === "job.settled")).toHaveLength(6);
    expect(frames.at(-2)).toMatchObject({
      event: "run.finished",
      data: { runId, state: "succeeded" },
    });
    const others = frames.filter(({ event, data }) => event !== "end" && data.runId !== runId);
    expect(others).toEqual([]);
    expect(await stream.next()).toBeUndefined();
  });

  test("go on behind the last one that was taken, without a gap", async ({ served, queue }) => {
    const runId = await served.start("chain");
    const whole = await served.open(`/runs/${runId}/events`);
    await whole.next();
    await runAll(queue, await sayHello(queue, "forge"));
    const frames = await whole.until("end");
    for (const taken of [0, 7, frames.length - 3, frames.length - 2]) {
      const id = frames[taken]?.id ?? "";
      const rest = await served.open(`/runs/${runId}/events`, { "last-event-id": id });
      expect(await rest.until("end")).toEqual(frames.slice(taken + 1));
    }
    const nothing = await served.open(`/runs/${runId}/events`, { "last-event-id": "end" });
    expect(nothing.answer.status).toBe(204);
  });

  test("of a finished run are its picture and an end", async ({ served, queue }) => {
    const runId = await served.start("hello");
    await queue.cancelRun(runId);
    const stream = await served.open(`/runs/${runId}/events`);
    const frames = await stream.until("end");
    expect(frames).toMatchObject([
      { event: "snapshot", data: { status: "cancelled" } },
      { id: "end" },
    ]);
  });

  test("are a problem where there is no run", async ({ served }) => {
    for (const id of ["nope", "00000000-0000-0000-0000-000000000000"]) {
      const { answer } = await served.open(`/runs/${id}/events`);
      expect(answer.status).toBe(404);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
    }
  });
});

describe("everything that happens", () => {
  test("begins a while ago where it is asked to, says when it is now, and goes on", async ({
    served,
    queue,
    database,
  }) => {
    for (const name of ["long ago", "lately"]) await queue.pauseWorkflow(name);
    await database.sql`
      update public.loom_event_batches set at = at - interval '20 minutes' where detail = 'long ago'`;
    await untilReadable(database);
    const stream = await served.open("/events?pastMs=900000");
    const past = await stream.until("now");
    expect(past).toMatchObject([{ data: { detail: "lately" } }, { event: "now" }]);
    await queue.pauseWorkflow("later");
    const later = await stream.next();
    expect(later).toMatchObject({ data: { detail: "later" } });
    await untilReadable(database);

    // A listener that comes again gets what it missed, and then that it is now.
    const again = await served.open("/events?pastMs=900000", {
      "last-event-id": past[0]?.id ?? "",
    });
    expect(await again.until("now")).toEqual([later, expect.objectContaining({ event: "now" })]);
    for (const pastMs of ["-1", "3600001", "soon"]) {
      expect((await served.open(`/events?pastMs=${pastMs}`)).answer.status).toBe(422);
    }
  });

  test("is sent to two hundred at once by one reader", { timeout: 60_000 }, async ({
    served,
    queue,
  }) => {
    const streams = await Promise.all(Array.from({ length: 200 }, () => served.open("/events")));
    const before = served.reads.length;
    const startedAt = performance.now();
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await served.start("hello"));
    const received = await Promise.all(
      streams.map(async (stream) => {
        const runs: unknown[] = [];
        while (runs.length < 5) {
          const [frame] = (await stream.until("run.started")).slice(-1);
          runs.push(frame?.data.runId);
        }
        return runs;
      }),
    );
    for (const runs of received) expect(runs).toEqual(ids);
    // The loop's own: one for each wake-up, and two a second.
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(served.reads.length - before).toBeLessThan(20 + 3 * seconds);
    expect((await queue.listRuns()).runs).toHaveLength(5);
    for (const stream of streams) stream.hangUp();
  });

  test("is read by nobody once nobody listens", async ({ served, database }) => {
    const stream = await served.open("/events");
    await served.start("hello");
    await stream.until("run.started");
    stream.hangUp();
    // The loop ends at its next check of the listeners; a new listener begins with "now" again.
    const begin = async () => {
      const other = await served.open("/events");
      other.hangUp();
      return served.reads.filter((after) => after === "now").length;
    };
    while ((await begin()) < 2) await database.sql`select pg_sleep(0.05)`;
  });

  test("is sent from where a listener left off, also what happened meanwhile", async ({
    served,
    queue,
  }) => {
    const first = await served.open("/events");
    await served.start("hello");
    const [last] = (await first.until("job.created")).slice(-1);
    first.hangUp();
    for (const name of ["a", "b", "c"]) await queue.pauseWorkflow(name);
    const second = await served.open("/events", { "last-event-id": last?.id ?? "" });
    await queue.pauseWorkflow("d");
    const seen: unknown[] = [];
    while (seen.length < 4) {
      const frame = await second.next();
      if (frame?.event === "workflow.paused") seen.push(frame.data.detail);
    }
    expect(seen).toEqual(["a", "b", "c", "d"]);
    second.hangUp();
  });

  test("starts over for a listener whose position is removed", async ({
    served,
    queue,
    database,
  }) => {
    const first = await served.open("/events");
    await served.start("hello");
    const [last] = (await first.until("job.created")).slice(-1);
    first.hangUp();
    await queue.pauseWorkflow("missed");
    await database.sql`delete from public.loom_event_batches`;
    await queue.pauseWorkflow("oldest that is left");
    const second = await served.open("/events", { "last-event-id": last?.id ?? "" });
    expect(await second.next()).toMatchObject({ event: "reset", data: {} });
    await queue.pauseWorkflow("next");
    const [next] = (await second.until("workflow.paused")).slice(-1);
    expect(next?.id).not.toBe(last?.id);
    second.hangUp();
  });

  test.for([
    "nonsense",
    "1",
    "-1.0",
    "end",
    "9999999999999999999.1",
    `${"9".repeat(40)}.1`,
    "x".repeat(500),
  ])("starts over for a listener with an unknown position: %j", async (id, { served, queue }) => {
    const stream = await served.open("/events?pastMs=60000", { "last-event-id": id });
    expect(stream.answer.status).toBe(200);
    expect(await stream.next()).toMatchObject({ event: "reset", data: {} });
    await queue.pauseWorkflow("next");
    await stream.until("workflow.paused");
    stream.hangUp();

    const runId = await served.start("hello");
    const ofRun = await served.open(`/runs/${runId}/events`, { "last-event-id": `x${id}` });
    expect(await ofRun.next()).toMatchObject({ event: "reset" });
    expect(await ofRun.next()).toMatchObject({ event: "snapshot", data: { id: runId } });
    ofRun.hangUp();
  });

  test("shows what people did to those who operate, and to nobody else", async ({
    served,
    queue,
  }) => {
    const { digestOf, makeToken } = await import("@loom/queue");
    const token = makeToken();
    await queue.createToken({ name: "reader", digest: digestOf(token), scopes: ["read"] });
    const operator = await served.open("/events");
    const reader = await served.open("/events", { authorization: `Bearer ${token}` });
    await served.start("hello");
    await queue.pauseWorkflow("last");
    const types = async (stream: typeof reader) =>
      (await stream.until("workflow.paused")).map(({ event }) => event);
    expect(await types(operator)).toContain("request.done");
    expect(await types(reader)).not.toContain("request.done");
  });

  test("ends when the hub does", async ({ served }) => {
    const stream = await served.open("/events");
    const startedAt = performance.now();
    served.stop();
    expect(await stream.next()).toBeUndefined();
    await served.close();
    // It did not have to be cut off.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });

  test("is refused to one more than the hub serves", async ({ queue }) => {
    const app = createHub({
      queue,
      planner: createInlinePlanner([]),
      log,
      token: TOKEN,
      maxStreams: 1,
    });
    const ask = (method = "GET") =>
      app.request("/api/loom/events", { method, headers: { authorization: `Bearer ${TOKEN}` } });
    for (let n = 0; n < 2; n += 1) expect((await ask("HEAD")).status).toBe(200);
    const first = await ask();
    expect(first.status).toBe(200);
    const second = await ask();
    expect(second.status).toBe(503);
    expect(second.headers.get("retry-after")).toBe("2");
    expect(await second.json()).toMatchObject({ code: "TOO_MANY_STREAMS" });
    await first.body?.cancel();
    const third = await ask();
    expect(third.status).toBe(200);
    await third.body?.cancel();
  });

  // Frames that the listener does not read fill the sockets' buffers, then its place in the hub.
  test("hangs up on a listener that does not read, and on nobody else", {
    timeout: 60_000,
  }, async ({ served, database }) => {
    const { hostname, port } = new URL(served.url);
    const deaf = connect(Number(port), hostname);
    onTestFinished(() => void deaf.destroy());
    deaf.on("error", () => {});
    const closed = once(deaf, "close");
    deaf.write(
      `GET /api/loom/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`,
    );
    await once(deaf, "data");
    deaf.pause();
    const good = await served.open("/events");
    const detail = "x".repeat(5_000);
    for (let n = 0; n < 10; n += 1) {
      await database.sql`
        insert into public.loom_event_batches (type, detail)
        select 'workflow.paused', ${detail} from generate_series(1, 500)`;
      for (let count = 0; count < 500; count += 1) await good.until("workflow.paused");
    }
    // It would get all of it, and stay, had it not been hung up on.
    deaf.resume();
    await closed;
    good.hangUp();
  });
});

describe("a job's output", () => {
  test("is complete also of an attempt that began and ended between two looks", async ({
    served,
    queue,
    call,
    database,
  }) => {
    await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet", host: "forge" }] });
    const { epoch } = await sayHello(queue, "forge");
    const stream = await served.open("/jobs/1/logs/stream");
    await database.sql.begin(async (sql) => {
      await sql`select public.loom_exchange('forge', ${epoch}, 1, 1)`;
      await sql`select public.loom_append_log('forge', 1, 1, ${'[{"start":0,"chunk":"all\\n"}]'}::text::json)`;
      await sql`
        select public.loom_exchange('forge', p_ids => array[1::bigint], p_fences => array[1], p_results => array['null'])`;
    });
    expect(await stream.until("end")).toMatchObject([
      { id: "1.4", data: { text: "all\n" } },
      { id: "end" },
    ]);
  });

  test("comes as it is written, through attempts, to its end", async ({ served, queue, call }) => {
    await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet", host: "forge" }] });
    const stream = await served.open("/jobs/1/logs/stream");
    const session = await sayHello(queue, "forge");
    const [job] = await claim(queue, session, 1);
    const owned = { node: "forge", id: 1, fence: job?.fence ?? 0 };
    await queue.appendLog(owned, [{ start: 0, chunk: "one\n" }]);
    expect(await stream.next()).toEqual({
      id: "1.4",
      event: "log",
      data: { fence: 1, offset: 0, text: "one\n", next: 4 },
    });
    await queue.appendLog(owned, [{ start: 4, chunk: "two\n" }]);
    await queue.settle("forge", [{ ...owned, outcome: "succeeded", result: null }]);
    const rest = await stream.until("end");
    expect(rest).toMatchObject([{ id: "1.8", data: { text: "two\n" } }, { id: "end" }]);

    const resumed = await served.open("/jobs/1/logs/stream", { "last-event-id": "1.4" });
    expect(await resumed.until("end")).toEqual(rest);
    const over = await served.open("/jobs/1/logs/stream", { "last-event-id": "end" });
    expect(over.answer.status).toBe(204);
    expect((await served.open("/jobs/404/logs/stream")).answer.status).toBe(404);

    // A place outside of the log, or ahead of it, would be waited for until the end.
    for (const id of ["nonsense", "1.9", "2.4", "0.0", "x".repeat(500)]) {
      const lost = await served.open("/jobs/1/logs/stream", { "last-event-id": id });
      expect(await lost.until("end")).toMatchObject([
        { event: "reset" },
        { id: "1.8", data: { offset: 0, text: "one\ntwo\n" } },
        { id: "end" },
      ]);
    }
  });
});

import { readFileSync } from "node:fs";
import { createHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { makeJob, makePlan } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect, onTestFinished, vi } from "vitest";
import { claim, sayHello, TOKEN, test, workflows } from "./fixtures.ts";

const DASHBOARD = new URL("../../../docs/grafana-dashboard.json", import.meta.url);
const PAGE = new URL("../../../docs/metrics.md", import.meta.url);

/** A hub whose events are counted until the end of the test. */
function openHub(queue: Queue) {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const app = createHub({
    queue,
    planner: createInlinePlanner(workflows),
    log: pino({ level: "silent" }),
    token: TOKEN,
    stopping: stop.signal,
  });
  const scrape = async (headers = { authorization: `Bearer ${TOKEN}` }) => {
    const answer = await app.request("/metrics", { headers });
    return {
      status: answer.status,
      type: answer.headers.get("content-type"),
      text: await answer.text(),
    };
  };
  return {
    app,
    scrape,
    /** Scrapes until a line is there. */
    scraped: (line: string) =>
      vi.waitFor(async () => expect((await scrape()).text.split("\n")).toContain(line), 10_000),
  };
}

describe("GET /metrics", () => {
  test("lets in who may read, and nobody else", async ({ queue }) => {
    const { app, scrape } = openHub(queue);
    expect(await scrape()).toMatchObject({
      status: 200,
      type: expect.stringMatching("text/plain"),
    });
    expect(await scrape({ authorization: "Bearer another" })).toMatchObject({ status: 401 });
    const made = await app.request("/api/loom/tokens", {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ name: "starter", scopes: ["run"] }),
    });
    const { token } = (await made.json()) as { token: string };
    expect(await scrape({ authorization: `Bearer ${token}` })).toMatchObject({ status: 403 });
  });

  test("reports waiting jobs by requirement, and the state of nodes", async ({ queue }) => {
    const { scrape } = openHub(queue);
    await queue.enqueue([makeJob({ requires: ["has-gpu", "docker"] }), makeJob({ host: "tower" })]);
    await sayHello(queue, "tower", { slots: 3 });
    const { text } = await scrape();
    expect(text.split("\n")).toEqual(
      expect.arrayContaining([
        "loom_database_up 1",
        'loom_waiting_jobs{requires="has-gpu docker"} 1',
        'loom_offered_jobs{node="tower"} 1',
        'loom_node_online{node="tower"} 1',
        'loom_node_slots{node="tower"} 3',
      ]),
    );
    await queue.cancel((await queue.listWaiting()).map(({ id }) => id));
    expect((await scrape()).text).not.toContain("has-gpu");
  });

  test("counts from the events what happens to jobs, and how long it took", async ({
    queue,
    database,
  }) => {
    const { scrape, scraped } = openHub(queue);
    await scrape();
    await queue.startRun(makePlan([{ step: "only", maxCrashRestarts: 3 }]));
    const lost = await sayHello(queue, "forge");
    const place = async () => {
      const offers = (await queue.listWaiting()).map(({ id }) => ({
        job: id,
        node: "forge",
        placement: null,
      }));
      await queue.place({ offers, refusals: [] });
    };
    await place();
    const [first] = await claim(queue, lost, 1);
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 s'`;
    await queue.reap();
    const session = await sayHello(queue, "forge");
    await place();
    const [second] = await claim(queue, session, 1);
    for (const { id, fence } of [first, second].filter((job) => job !== undefined)) {
      await queue.settle("forge", [{ id, fence, outcome: "succeeded", result: 1 }]);
    }

    await scraped('loom_runs_finished_total{status="succeeded"} 1');
    for (const line of [
      'loom_node_deaths_total{node="forge"} 1',
      'loom_lease_losses_total{node="forge"} 1',
      'loom_fence_rejections_total{node="forge"} 1',
      "loom_placement_seconds_count 2",
      'loom_claim_seconds_count{node="forge"} 2',
      'loom_attempt_seconds_count{node="forge"} 1',
      'loom_attempts_total{node="forge",state="succeeded"} 1',
    ]) {
      await scraped(line);
    }
  });

  test("measures requests by route, whatever they ask for", async ({ queue }) => {
    const { app, scraped } = openHub(queue);
    const ask = (path: string, method = "GET") =>
      app.request(path, { method, headers: { authorization: `Bearer ${TOKEN}` } });
    await ask("/api/loom/jobs/1");
    await ask("/api/loom/jobs/2");
    await ask("/somewhere/else");
    await ask("/api/loom/jobs/1", "BREW");
    await scraped(
      'loom_http_request_seconds_count{method="GET",route="/api/loom/jobs/:id",status="404"} 2',
    );
    await scraped('loom_http_request_seconds_count{method="other",route="none",status="404"} 1');
    await scraped('loom_http_request_seconds_count{method="other",route="none",status="405"} 1');
  });

  test("reports a frozen database before the scrape times out", async ({ queue }) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const asked = Promise.withResolvers<void>();
    const frozen = () => {
      asked.resolve();
      return new Promise<never>(() => {});
    };
    const { scrape } = openHub({ ...queue, queueDepth: frozen, listNodes: frozen });
    const scraped = scrape();
    await asked.promise;
    await vi.advanceTimersByTimeAsync(5_000);
    expect((await scraped).text).toContain("loom_database_up 0\n");
  });

  test("still reports the hub while the database is away", async ({ queue }) => {
    const away = () => Promise.reject(new Error("away"));
    const { scrape } = openHub({ ...queue, queueDepth: away, listNodes: away });
    const { status, text } = await scrape();
    expect(status).toBe(200);
    expect(text).toContain("loom_database_up 0\n");
    expect(text).toMatch(/^process_resident_memory_bytes \d{7,}$/m);
  });
});

describe("what is written about metrics", () => {
  test("documents every metric, and no other", async ({ queue }) => {
    const { text } = await openHub(queue).scrape();
    const exposed = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name).sort();
    const page = readFileSync(PAGE, "utf8");
    const named = [...page.matchAll(/^\| `(\w+)/gm)].map(([, name]) => name).sort();
    expect(named).toEqual(exposed);
  });

  test("asks in the dashboard for metrics that are there", async ({ queue }) => {
    const { text } = await openHub(queue).scrape();
    const exposed = new Set(
      [...text.matchAll(/^# TYPE (\S+) (\S+)/gm)].flatMap(([, name, type]) =>
        type === "histogram" ? ["_bucket", "_sum", "_count"].map((part) => name + part) : [name],
      ),
    );
    const dashboard = JSON.parse(readFileSync(DASHBOARD, "utf8"));
    const asked: string[] = dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
      (panel.targets ?? []).map(({ expr }) => expr),
    );
    const names = asked.flatMap((expr) => expr.match(/\b(?:loom|process)_\w+/g) ?? []);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !exposed.has(name))).toEqual([]);
  });
});

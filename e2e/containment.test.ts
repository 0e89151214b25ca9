import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const GOOD_JOBS = 1_000;

// Inside the workspace, where @loom/workflow and zod are found.
const folder = fileURLToPath(new URL(`.workflows-containment-${process.pid}`, import.meta.url));
let system: System;
let gone: string;
let portal: CaptivePortal;

beforeAll(async () => {
  mkdirSync(folder);
  cpSync(
    fileURLToPath(new URL("containment/workflows.ts", import.meta.url)),
    path.join(folder, "workflows.ts"),
  );
  writeFileSync(
    path.join(folder, "broken.ts"),
    "export const broken = {\n  name: 'broken',\n  steps: [,\n",
  );
  writeFileSync(path.join(folder, "forever.ts"), "for (;;);\n");
  gone = mkdtempSync(path.join(tmpdir(), "loom-gone-"));
  system = await startSystem({ workflows: pathToFileURL(`${folder}/`) });
});
afterAll(async () => {
  await system?.stop();
  await portal?.stop();
  rmSync(folder, { recursive: true, force: true });
  rmSync(gone, { recursive: true, force: true });
});

test("1,000 good jobs succeed while one of each bad thing happens, and every process goes on", {
  timeout: 600_000,
}, async () => {
  portal = await openCaptivePortal(new URL(system.databaseUrl));
  const agents = [
    await system.startAgent("tower", ["gpu"], { slots: 4 }),
    await system.startAgent("laptop", [], { slots: 2, env: { SUPABASE_URL: portal.url } }),
    await system.startAgent("cabin", [], { slots: 2, cwd: gone }),
  ];
  const hub = system.hubPid();
  const ids: number[] = [];
  const addJobs = async (count: number) => {
    const jobs = Array.from({ length: count }, (_, index) => ({
      workflow: "steady",
      step: "work",
      input: ids.length + index,
    }));
    const { status, body } = await system.call("POST", "/jobs", { jobs });
    expect({ status, body }).toMatchObject({ status: 202 });
    ids.push(...(body.jobs as { id: number }[]).map(({ id }) => id));
  };

  const badThings: (() => Promise<void>)[] = [
    settleNonsense,
    helloNonsense,
    startUnreadable,
    startWide,
    startStuck,
    async () => portal.close(),
    async () => rmSync(gone, { recursive: true, force: true }),
    async () => portal.open(),
    nonsenseRequests,
    async () => {},
  ];
  for (const happens of badThings) {
    await addJobs(GOOD_JOBS / badThings.length);
    await happens();
  }

  const good = () => system.sql<{ state: string; count: number }[]>`
      select state, count(*)::integer as count from public.loom_job_queue
       where workflow_id = 'steady' group by state`;
  await expect
    .poll(good, { timeout: 400_000, interval: 500 })
    .toEqual([{ state: "succeeded", count: GOOD_JOBS }]);
  // Each outcome is the one of its own input, recorded by its first attempt.
  const wrong = await system.sql`
      select id, attempt, result from public.loom_job_queue
       where workflow_id = 'steady' and (result <> payload or attempt <> 1)`;
  expect(wrong).toEqual([]);

  await expect
    .poll(() => slotsOf("good-schedule"))
    .toContainEqual(expect.objectContaining({ decision: "fired" }));
  for (const id of ["bad-key", "stuck-key"]) {
    await expect
      .poll(() => slotsOf(id))
      .toContainEqual(expect.objectContaining({ decision: "skipped", code: "plan_failed" }));
  }
  // Both files that cannot be loaded are named where a person looks.
  const { body: strands } = await system.call("GET", "/strands");
  expect(JSON.stringify(strands)).toContain("broken.ts");
  expect(JSON.stringify(strands)).toContain("forever.ts");
  expect((await system.call("GET", "/nodes")).status).toBe(200);
  expect((await system.call("GET", "/doctor")).status).toBe(200);
  expect(await system.queue.verify()).toEqual([]);

  expect(system.hubPid()).toBe(hub);
  for (const { pid } of [{ pid: hub }, ...agents]) expect(() => process.kill(pid, 0)).not.toThrow();
});

const slotsOf = async (schedule: string) =>
  (await system.call("GET", `/schedules/${schedule}/slots`)).body.data as object[];

const startRun = async (workflow: string) => {
  const { status, body } = await system.call("POST", `/strands/${workflow}/run`, {
    allowUnsatisfiable: true,
  });
  expect({ status, body }).toMatchObject({ status: 202 });
  return String(body.runId);
};

const untilFailed = (runId: string, code: string) =>
  expect
    .poll(async () => (await system.call("GET", `/runs/${runId}`)).body, { timeout: 60_000 })
    .toMatchObject({
      status: "failed",
      steps: expect.arrayContaining([
        expect.objectContaining({ state: "failed", error: expect.objectContaining({ code }) }),
      ]),
    });

/** An agent that settles with what is no JSON, and with what is nested too deep. */
async function settleNonsense() {
  const runId = await startRun("played");
  const { body: strand } = await system.call("GET", "/strands/played");
  const session = await system.queue.hello({
    name: "played-agent",
    incarnation: crypto.randomUUID(),
    leaseMs: 60_000,
    slots: 1,
    capabilities: ["is-played", "workflow:played", `workflow:played@${strand.version}`],
  });
  const claim = async (seq: number) =>
    system.queue.claim({ node: "played-agent", epoch: session.epoch }, { seq, limit: 1 });
  let seq = 1;
  let claimed = await claim(seq);
  await expect
    .poll(
      async () => {
        if (claimed.session === "live" && claimed.jobs.length > 0) return true;
        seq += 1;
        claimed = await claim(seq);
        return claimed.session === "live" && claimed.jobs.length > 0;
      },
      { timeout: 30_000 },
    )
    .toBe(true);
  const [job] = claimed.session === "live" ? claimed.jobs : [];
  if (!job) throw new Error("nothing was claimed");
  const settle = async (result: string) => {
    const { data } = await system.client.rpc("loom_exchange", {
      p_node: "played-agent",
      p_items: [{ id: job.id, fence: job.fence, outcome: "succeeded", result }],
    });
    return data;
  };
  expect(JSON.stringify(await settle("{not json"))).toContain("invalid");
  expect(JSON.stringify(await settle("[".repeat(100_000) + "]".repeat(100_000)))).toContain(
    "invalid",
  );
  expect(JSON.stringify(await settle('"fine"'))).toContain("accepted");
  await expect
    .poll(async () => (await system.call("GET", `/runs/${runId}`)).body, { timeout: 60_000 })
    .toMatchObject({ status: "succeeded" });
}

/** A node whose facts are a number. */
async function helloNonsense() {
  const { error } = await system.client.rpc("loom_hello", {
    p_node: "nonsense",
    p_incarnation: crypto.randomUUID(),
    p_lease_ms: 45_000,
    p_capabilities: [],
    p_slots: 1,
    p_facts: 5,
  });
  expect(error).toMatchObject({ details: expect.stringContaining("INVALID") });
}

async function startUnreadable() {
  await untilFailed(await startRun("unreadable"), "INVALID_RESULT");
}

async function startWide() {
  await untilFailed(await startRun("wide"), "RESULTS_TOO_LARGE");
}

/** An author's function that never returns: its own request fails, and the hub goes on answering. */
async function startStuck() {
  const stuck = system.call("POST", "/strands/stuck-host/run", {});
  const startedAt = performance.now();
  const health = await fetch(`${system.url}/healthz`);
  expect(health.status).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect((await stuck).body).toMatchObject({ code: "WORKFLOW_CODE_TIMED_OUT" });
}

async function nonsenseRequests() {
  const headers = {
    authorization: `Bearer ${system.token}`,
    "content-type": "application/json",
  };
  const bodies = [
    `{"clauses":["k=${" ".repeat(30_000)}x"]}`,
    `{"input":9007199254740993}`,
    new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    "[".repeat(100_000),
  ];
  for (const route of ["/explain", "/strands/steady/run", "/jobs"]) {
    for (const body of bodies) {
      const { status } = await fetch(`${system.url}/api/loom${route}`, {
        method: "POST",
        headers,
        body,
      });
      expect([400, 404, 422]).toContain(status);
    }
  }
}

interface CaptivePortal {
  url: string;
  /** From now on a page of HTML answers, with 403. */
  close(): void;
  open(): void;
  stop(): Promise<void>;
}

/** A way to the database that can turn into somebody's log-in page. */
async function openCaptivePortal(database: URL): Promise<CaptivePortal> {
  let isClosed = false;
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, answer) => {
    if (isClosed) {
      incoming.resume();
      answer.writeHead(403, { "content-type": "text/html" }).end("<html>Accept our terms</html>");
      return;
    }
    const upstream = request(
      {
        host: database.hostname,
        port: database.port,
        path: incoming.url,
        method: incoming.method,
        headers: incoming.headers,
        agent,
      },
      (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      },
    );
    upstream.on("error", () => answer.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      isClosed = true;
    },
    open: () => {
      isClosed = false;
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

import { createHub } from "@loom/hub";
import { workflowCapability } from "@loom/scheduler";
import { createInlinePlanner } from "@loom/worker";
import { pino } from "pino";
import { describe, expect } from "vitest";
import {
  claim,
  collectLog,
  dispatchWaiting,
  sayHello,
  TOKEN,
  test,
  workflows,
} from "./fixtures.ts";

/** What a node offers that has all the code that the hub has. */
const code = workflows.map(({ name, version }) => workflowCapability(name, version));

type Answer = Record<string, unknown> & { jobs: { id: number }[] };

describe("starting a run", () => {
  test("answers with what will become of each step", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpu", ...code] });
    expect(await call("POST", "/strands/train/run")).toMatchObject({
      status: 202,
      body: { verdict: { verdict: "now", steps: [{ step: "fit", verdict: "now" }, {}] } },
    });
    await queue.hello({
      name: "forge",
      incarnation: crypto.randomUUID(),
      leaseMs: 45_000,
      capabilities: ["has-gpu"],
      slots: 1,
    });
    expect(await call("POST", "/strands/train/run")).toMatchObject({
      status: 202,
      body: { verdict: { verdict: "no-version", steps: [{ code: "no_version" }, {}] } },
    });
  });

  test("is refused when no known node could ever run a step, unless that is allowed", async ({
    call,
    queue,
    countRows,
  }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpus", ...code] });
    const refused = await call("POST", "/strands/train/run");
    expect(refused).toMatchObject({
      status: 422,
      body: {
        code: "UNSATISFIABLE",
        detail: expect.stringContaining("no known node offers has-gpu"),
        suggestions: ["has-gpus"],
        explanations: [
          {
            step: "fit",
            explanation: {
              code: "no_capable_node",
              nodes: [
                { node: "forge", eligibility: "ineligible", failures: [{ clause: "has-gpu" }] },
              ],
            },
          },
        ],
      },
    });
    expect(await countRows()).toEqual({ runs: 0, jobs: 0 });
    const allowed = await call("POST", "/strands/train/run", { allowUnsatisfiable: true });
    expect(allowed).toMatchObject({ status: 202, body: { verdict: { verdict: "never" } } });
    const rerun = `/runs/${allowed.body.runId}/rerun`;
    expect(await call("POST", rerun)).toMatchObject({
      status: 422,
      body: { code: "UNSATISFIABLE" },
    });
    expect((await call("POST", rerun, { allowUnsatisfiable: true })).status).toBe(202);
  });

  test("is not refused before the hub's own node is known: its agents may only be on their way", async ({
    queue,
  }) => {
    const app: { request(path: string, init: RequestInit): Response | Promise<Response> } =
      createHub({
        queue,
        planner: createInlinePlanner(workflows),
        log: pino({ level: "silent" }),
        token: TOKEN,
        node: "oracle",
      });
    const start = async () => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      return (await app.request("/api/loom/strands/hello/run", { method: "POST", headers })).status;
    };
    await sayHello(queue, "forge");
    expect(await start()).toBe(202);
    await sayHello(queue, "oracle");
    expect(await start()).toBe(422);
  });

  test("refuses a pin to a node that nobody knows, with the name that may be meant", async ({
    call,
    queue,
  }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpu", ...code] });
    expect(await call("POST", "/strands/train/run", { input: { host: "forg" } })).toMatchObject({
      status: 422,
      body: { code: "UNSATISFIABLE", suggestions: ["forge"] },
    });
    const jobs = [{ workflow: "chain", step: "a", host: "forg" }];
    expect(await call("POST", "/jobs", { jobs })).toMatchObject({
      status: 422,
      body: { code: "UNSATISFIABLE", suggestions: ["forge"] },
    });
    expect(await call("POST", "/jobs", { jobs, allowUnsatisfiable: true })).toMatchObject({
      status: 202,
      body: { jobs: [{ returned: "created", verdict: { verdict: "never" } }] },
    });
  });
});

describe("a workflow", () => {
  test("says whether it can run now", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: code });
    expect((await call("GET", "/strands/train")).body).toMatchObject({
      canRun: {
        verdict: "never",
        steps: [
          { step: "fit", verdict: "never", code: "no_capable_node" },
          { step: "report", verdict: "now" },
        ],
      },
    });
  });
});

describe("an explanation", () => {
  test("says of a waiting job what placing says", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: code });
    await call("POST", "/strands/train/run", { allowUnsatisfiable: true });
    const { lines, log } = collectLog();
    await dispatchWaiting(queue, log).place();
    const { body } = await call("GET", "/jobs/1/explain");
    expect(body).toMatchObject({
      state: "waiting",
      code: "no_capable_node",
      waitingReason: { code: "no_capable_node", summary: body.summary },
      explanation: { missing: ["has-gpu"], nearest: { node: "forge" } },
    });
    expect(lines).toContainEqual(expect.objectContaining({ jobId: 1, summary: body.summary }));
    expect((await call("GET", "/jobs/2/explain")).body).toMatchObject({
      state: "blocked",
      code: "dependency",
      summary: "comes after fit (waiting)",
    });
  });

  test("names the concurrency key that keeps placing from looking at a job", async ({
    call,
    queue,
  }) => {
    await sayHello(queue, "forge");
    const job = { workflow: "w", step: "s", input: {}, concurrency: { key: "printer", limit: 1 } };
    const [first, second] = await queue.enqueue([job, job]);
    await queue.place({
      offers: [{ job: first?.id ?? 0, node: "forge", placement: null }],
      refusals: [],
    });
    expect((await call("GET", `/jobs/${second?.id}/explain`)).body).toMatchObject({
      code: "concurrency_limit",
      summary: expect.stringContaining("printer"),
    });
    expect((await call("GET", `/jobs/${first?.id}/explain`)).body).toMatchObject({
      code: "offered",
      explanation: { code: "placeable" },
    });
  });

  test("is of a job that runs or is done that it does", async ({ call, queue }) => {
    const session = await sayHello(queue, "forge");
    const [added] = await queue.enqueue([{ workflow: "w", step: "s", input: {}, host: "forge" }]);
    const [job] = await claim(queue, session, 1);
    const path = `/jobs/${added?.id}/explain`;
    expect((await call("GET", path)).body).toMatchObject({ code: "running", explanation: null });
    await queue.settle("forge", [
      { id: job?.id ?? 0, fence: job?.fence ?? 0, outcome: "succeeded", result: 1 },
    ]);
    expect((await call("GET", path)).body).toMatchObject({
      code: "finished",
      summary: "is succeeded",
    });
  });

  test("says that a workflow is paused, and that a job is not due", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: code, isHub: true });
    const jobs = [{ workflow: "hello", step: "greet", delayMs: 3_600_000 }];
    const { body } = await call("POST", "/jobs", { jobs });
    await call("POST", "/strands/hello/pause");
    const path = `/jobs/${(body as Answer).jobs[0]?.id}/explain`;
    expect((await call("GET", path)).body).toMatchObject({
      code: "paused_workflow",
      holds: [{ code: "paused_workflow" }, { code: "not_due" }],
      explanation: { code: "placeable" },
    });
  });

  test("reports of one node of many", async ({ call, queue }) => {
    for (let n = 0; n < 51; n += 1) await sayHello(queue, `node-${n}`);
    const [job] = await queue.enqueue([
      { workflow: "w", step: "s", input: {}, requires: ["has-gpu"] },
    ]);
    const path = `/jobs/${job?.id}/explain`;
    expect((await call("GET", path)).body).toMatchObject({
      explanation: { known: 51, nodes: [], groups: [{ count: 51 }] },
    });
    expect((await call("GET", `${path}?node=node-7`)).body).toMatchObject({
      explanation: { known: 51, nodes: [{ node: "node-7" }] },
    });
    expect(await call("GET", `${path}?node=node-x`)).toMatchObject({
      status: 404,
      body: { code: "NODE_NOT_FOUND" },
    });
  });

  test("of a step that is not written yet is of the nodes as they are", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: ["gpu.vram-gb=12"] });
    expect(await call("POST", "/explain", { requires: ["gpu.vram-gb>=24"] })).toMatchObject({
      status: 200,
      body: {
        code: "no_capable_node",
        nodes: [
          { node: "forge", failures: [{ clause: "gpu.vram-gb>=24", seen: ["gpu.vram-gb=12"] }] },
        ],
      },
    });
    expect(await call("POST", "/explain", { requires: ["has gpu"] })).toMatchObject({
      status: 422,
      body: { code: "INVALID_REQUEST", errors: [{ path: "requires[0]" }] },
    });
  });
});

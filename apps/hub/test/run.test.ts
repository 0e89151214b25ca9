import { describe, expect } from "vitest";
import { claim, dispatchWaiting, sayHello, TOKEN, test } from "./fixtures.ts";

describe("a run", () => {
  test("is stored with a row for every step, which its page shows", async ({ call, countRows }) => {
    const started = await call("POST", "/strands/train/run", { input: { host: "anvil" } });
    expect(started).toMatchObject({ status: 202, body: { returned: "created" } });
    expect(await countRows()).toEqual({ runs: 1, jobs: 2 });

    const { status, body } = await call("GET", `/runs/${started.body.runId}`);
    expect(status).toBe(200);
    const code = `workflow:train@${body.version}`;
    expect(body).toMatchObject({
      id: started.body.runId,
      workflow: "train",
      status: "running",
      trigger: "api",
      input: { host: "anvil" },
      finishedAt: null,
      steps: [
        {
          step: "fit",
          state: "waiting",
          host: null,
          after: [],
          requires: ["has-gpu", code],
        },
        { step: "report", state: "blocked", after: ["fit"], requires: [code] },
      ],
    });
  });

  test("is followed to its end, with who ran what and for how long", async ({ call, queue }) => {
    const dispatcher = dispatchWaiting(queue);
    const { body } = await call("POST", "/strands/train/run", {});
    const { version } = await queue.getRun(String(body.runId));
    const capabilities = ["has-gpu", `workflow:train@${version}`];
    const forge = await sayHello(queue, "forge", { capabilities });
    for (const [index, result] of [{ loss: 0.1 }, null].entries()) {
      await dispatcher.place();
      const [job] = await claim(queue, forge, index + 1);
      if (!job) throw new Error("nothing was offered");
      await queue.settle("forge", [{ id: job.id, fence: job.fence, outcome: "succeeded", result }]);
    }
    const run = await call("GET", `/runs/${body.runId}`);
    const ended = {
      state: "succeeded",
      host: "forge",
      startedAt: expect.any(String),
      durationMs: expect.any(Number),
    };
    expect(run.body).toMatchObject({
      status: "succeeded",
      finishedAt: expect.any(String),
      steps: [
        { step: "fit", result: { loss: 0.1 }, ...ended },
        { step: "report", result: null, ...ended },
      ],
    });
  });

  test("of a key is started once, however often it is asked for", async ({ call, countRows }) => {
    const start = (workflow: string) =>
      call("POST", `/strands/${workflow}/run`, { key: "nightly 2026-11-23" });
    const answers = await Promise.all(Array.from({ length: 8 }, () => start("hello")));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(1);
    expect(answers.filter(({ body }) => body.returned === "created")).toHaveLength(1);
    expect(await countRows()).toEqual({ runs: 1, jobs: 1 });

    expect((await start("train")).body).toMatchObject({ returned: "created" });
    expect(await countRows()).toEqual({ runs: 2, jobs: 3 });
  });

  test("that is refused leaves nothing behind", async ({ app, call, countRows }) => {
    const run = "/strands/train/run";
    const refusals = await Promise.all([
      call("POST", "/strands/trian/run", {}),
      call("POST", run, { input: { host: 7 } }),
      call("POST", run, { input: { host: "two words" } }),
      call("POST", run, { input: null }),
      call("POST", run, { key: "" }),
      call("POST", run, { key: "\u0000" }),
      call("POST", run, { inptu: {} }),
      call("POST", run, []),
      call("POST", run, { input: { notes: "x".repeat(300_000) } }),
      call("POST", run, { input: { notes: "x".repeat(1_100_000) } }),
      call("GET", run),
    ]);
    expect(refusals.map(({ status }) => status)).toEqual([
      404, 422, 422, 422, 422, 422, 422, 422, 413, 413, 405,
    ]);
    expect(refusals[8]?.body).toMatchObject({ code: "INPUT_TOO_LARGE" });

    const raw = (init: RequestInit) => app.request(`/api/loom${run}`, { method: "POST", ...init });
    const authorization = `Bearer ${TOKEN}`;
    const answers = await Promise.all([
      raw({}),
      raw({ headers: { authorization: "Bearer nonsense" } }),
      raw({ headers: { authorization, "content-type": "application/json" }, body: '{"key":' }),
      raw({ headers: { authorization, "content-type": "text/plain" }, body: "{}" }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 400, 415]);
    expect(await countRows()).toEqual({ runs: 0, jobs: 0 });
  });

  test("keeps every character of its input and of its key", async ({ call, database }) => {
    const notes = "nul \u0000, half a pair \ud800, a pair 😀, a line\nbreak";
    const { body } = await call("POST", "/strands/train/run", { input: { notes }, key: "né 😀" });
    expect((await call("GET", `/runs/${body.runId}`)).body.input).toEqual({ notes });
    const keys = await database.sql`select idempotency_key from public.loom_runs`;
    expect(keys).toEqual([{ idempotency_key: "né 😀" }]);
  });

  test.for(["nope", "00000000-0000-0000-0000-000000000000", "%00", "'; drop table loom_runs;--"])(
    "that is not there is not found: %s",
    async (id, { call }) => {
      expect(await call("GET", `/runs/${encodeURIComponent(id)}`)).toMatchObject({
        status: 404,
        body: { code: "RUN_NOT_FOUND" },
      });
    },
  );
});

describe("/readyz", () => {
  test("is ready while the database answers", async ({ app }) => {
    expect((await app.request("/readyz")).status).toBe(200);
  });
});

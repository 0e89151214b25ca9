import { describe, expect } from "vitest";
import { runAll, sayHello, test } from "./fixtures.ts";

type Data = { data: Record<string, unknown>[]; next: string | null };

describe("a list of runs", () => {
  test("is filtered, and read page by page along the Link header", async ({ call }) => {
    for (const workflow of ["hello", "train", "hello", "chain", "hello"]) {
      await call("POST", `/strands/${workflow}/run`);
    }
    const seen: unknown[] = [];
    for (let path = "/runs?workflow=hello&limit=2"; ; ) {
      const page = await call("GET", path);
      expect(page.status).toBe(200);
      const { data, next } = page.body as unknown as Data;
      seen.push(...data.map(({ id }) => id));
      if (next === null) break;
      const [, link = ""] =
        /^<\/api\/loom(.*)>; rel="next"$/.exec(page.headers.get("link") ?? "") ?? [];
      expect(link).toContain(`cursor=${next}`);
      path = link;
    }
    expect(new Set(seen).size).toBe(3);
    expect(seen).toHaveLength(3);
  });

  test("takes a cursor for the same filters only", async ({ call }) => {
    for (let n = 0; n < 2; n += 1) await call("POST", "/strands/hello/run");
    const { next } = (await call("GET", "/runs?limit=1")).body as unknown as Data;
    expect((await call("GET", `/runs?limit=1&cursor=${next}`)).status).toBe(200);
    for (const query of [`status=failed&cursor=${next}`, "cursor=x", "cursor=bnVsbA"]) {
      expect(await call("GET", `/runs?${query}`)).toMatchObject({
        status: 422,
        body: { code: "INVALID_CURSOR" },
      });
    }
    expect((await call("GET", `/jobs?cursor=${next}`)).status).toBe(422);
  });

  test("refuses a cursor of another list", async ({ call }) => {
    for (let n = 0; n < 2; n += 1) await call("POST", "/strands/hello/run");
    for (const list of ["runs", "jobs"]) {
      const { next } = (await call("GET", `/${list}?limit=1`)).body as unknown as Data;
      const [digest] = JSON.parse(Buffer.from(String(next), "base64url").toString());
      for (const place of [null, {}, -1, list === "runs" ? 7 : "x"]) {
        const cursor = Buffer.from(JSON.stringify([digest, place])).toString("base64url");
        expect(await call("GET", `/${list}?limit=1&cursor=${cursor}`)).toMatchObject({
          status: 422,
          body: { code: "INVALID_CURSOR" },
        });
      }
    }
  });

  test.for(["limit=0", "limit=201", "limit=x", "status=done", "since=yesterday", "limit="])(
    "refuses %s",
    async (query, { call }) => {
      expect(await call("GET", `/runs?${query}`)).toMatchObject({
        status: 422,
        body: { code: "INVALID_REQUEST" },
      });
    },
  );
});

describe("a run", () => {
  test("is cancelled, and again without harm", async ({ call }) => {
    const { body } = await call("POST", "/strands/train/run");
    for (let n = 0; n < 2; n += 1) {
      expect(await call("POST", `/runs/${body.runId}/cancel`)).toMatchObject({
        status: 202,
        body: { status: "cancelled" },
      });
    }
    expect((await call("GET", `/runs/${body.runId}`)).body).toMatchObject({ status: "cancelled" });
    expect((await call("POST", "/runs/nope/cancel")).status).toBe(404);
  });

  test("is retried in whole, from a step, or where it failed", async ({ call, queue }) => {
    const { body } = await call("POST", "/strands/chain/run");
    const retry = (what?: unknown) => call("POST", `/runs/${body.runId}/retry`, what);
    expect(await retry()).toMatchObject({ status: 409, body: { code: "RUN_NOT_FINISHED" } });
    await runAll(queue, await sayHello(queue, "forge"));
    expect(await retry()).toMatchObject({ status: 409, body: { code: "NOTHING_TO_RETRY" } });

    const stepsOf = async (runId: unknown) => {
      const { steps } = (await call("GET", `/runs/${runId}`)).body as {
        steps: { state: string }[];
      };
      return steps.map(({ state }) => state);
    };
    const all = await retry({ mode: "all" });
    expect(all).toMatchObject({ status: 202, body: { returned: "created" } });
    expect(all.headers.get("location")).toBe(`/api/loom/runs/${all.body.runId}`);
    expect(await stepsOf(all.body.runId)).toEqual(["waiting", ...Array(5).fill("blocked")]);
    const from = await retry({ mode: "from", step: "e" });
    expect(await stepsOf(from.body.runId)).toEqual([
      ...Array(4).fill("succeeded"),
      "waiting",
      "blocked",
    ]);
    expect(await retry({ mode: "from", step: "z" })).toMatchObject({ status: 404 });
    expect(await retry({ mode: "from" })).toMatchObject({ status: 422 });
    expect(await retry({ mode: "half" })).toMatchObject({ status: 422 });
  });

  test("is run again with the same input, or another", async ({ call }) => {
    const { body } = await call("POST", "/strands/train/run", { input: { notes: "first" } });
    const rerun = (input?: unknown) => call("POST", `/runs/${body.runId}/rerun`, input);
    const same = await rerun();
    expect((await call("GET", `/runs/${same.body.runId}`)).body).toMatchObject({
      input: { notes: "first" },
      retryOf: body.runId,
      trigger: "manual",
    });
    const edited = await rerun({ input: { notes: "second" } });
    expect((await call("GET", `/runs/${edited.body.runId}`)).body).toMatchObject({
      input: { notes: "second" },
    });
    expect(await rerun({ input: { notes: 7 } })).toMatchObject({
      status: 422,
      body: { code: "INVALID_INPUT" },
    });
  });

  test("is run again with what was sent, not with what the schema made of it", async ({ call }) => {
    let { body } = await call("POST", "/strands/charge/run", {
      input: { amount: 5 },
      allowUnsatisfiable: true,
    });
    for (let again = 0; again < 3; again += 1) {
      expect((await call("GET", `/runs/${body.runId}`)).body).toMatchObject({
        input: { amount: 500 },
      });
      ({ body } = await call("POST", `/runs/${body.runId}/rerun`, { allowUnsatisfiable: true }));
    }
  });
});

describe("a request with an Idempotency-Key", () => {
  test("is done once, and answered the same", async ({ call, countRows }) => {
    const start = (body?: unknown, key = "k-1") =>
      call("POST", "/strands/hello/run", body, { "idempotency-key": key });
    const first = await start({});
    const second = await start({});
    expect(second.body).toEqual(first.body);
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await start({ input: {} })).toMatchObject({
      status: 422,
      body: { code: "IDEMPOTENCY_KEY_REUSED" },
    });
    expect(await start({}, "two words")).toMatchObject({ status: 422 });
    expect(await countRows()).toMatchObject({ runs: 1 });
  });
});

describe("what makes a secret", () => {
  // A second answer could not hold the first one's secret.
  test("is made again each time, whatever the key", async ({ call }) => {
    const headers = { "idempotency-key": "k-1" };
    const open = async () => {
      const opened = await call("POST", "/session", undefined, headers);
      expect(opened.status).toBe(201);
      return { cookie: (opened.headers.get("set-cookie") ?? "").split(";", 1)[0] ?? "" };
    };
    for (const { cookie } of [await open(), await open()]) {
      const answer = await call("GET", "/session", undefined, { cookie, authorization: "" });
      expect(answer.status).toBe(200);
    }
    const make = () => call("POST", "/tokens", { name: "ci", scopes: ["read"] }, headers);
    expect([(await make()).status, (await make()).status]).toEqual([201, 409]);
  });
});

describe("a workflow", () => {
  test("has its definition, and an ETag that changes with it", async ({ app, call }) => {
    const { status, body, headers } = await call("GET", "/strands/train");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      name: "train",
      steps: [
        { name: "fit", requires: ["has-gpu"], host: null },
        { name: "report", after: ["fit"], host: "from input" },
      ],
      inputSchema: { type: "object", properties: { notes: { type: "string" } } },
      paused: null,
    });
    const etag = headers.get("etag") ?? "";
    const again = await call("GET", "/strands/train", undefined, { "if-none-match": `W/${etag}` });
    expect([again.status, again.headers.get("etag")]).toEqual([304, etag]);
    await call("POST", "/strands/train/pause", { note: "disk is full" });
    const paused = await call("GET", "/strands/train", undefined, { "if-none-match": etag });
    expect(paused).toMatchObject({ status: 200, body: { paused: { note: "disk is full" } } });
    await call("POST", "/strands/train/resume");
    expect((await call("GET", "/strands")).body).toMatchObject({
      data: [
        { name: "chain" },
        { name: "charge" },
        { name: "hello" },
        { name: "pinned" },
        { name: "train", paused: null },
      ],
    });
    expect((await call("GET", "/strands/trian")).body).toMatchObject({ suggestions: ["train"] });
    expect((await app.request("/api/loom/strands")).status).toBe(401);
  });
});

describe("a node", () => {
  test("is found by name, or one that may have been meant", async ({ call, queue }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpu"] });
    expect((await call("GET", "/nodes/forge")).body).toMatchObject({ name: "forge", online: true });
    expect(await call("GET", "/nodes/forg")).toMatchObject({
      status: 404,
      body: { code: "NODE_NOT_FOUND", suggestions: ["forge"] },
    });
  });
});

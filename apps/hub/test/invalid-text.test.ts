import { sayHello } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { test } from "./fixtures.ts";
import { type Document, operationsOf } from "./openapi.ts";

/**
 * Text that PostgREST cannot put into a status line, that Postgres cannot keep, or that no name of ours has.
 * An answer that says "the database is away" to one of these is wrong: it would be asked again for ever.
 */
const TEXTS = [
  "a\r\nb",
  "a\nSet-Cookie: x=y",
  "\r",
  "\u0000",
  "Küche",
  "台所",
  "\u202etxt",
  "%",
  "%0d%0a",
  "🧵",
  "\u0085",
  "x".repeat(99),
  "' or 1=1 --",
];

/** Every string that a body can hold, where `$` stands for it. */
const BODIES: readonly { operation: string; at: string; body: string }[] = [
  { operation: "retryRun", at: "run", body: '{"mode":"from","step":$}' },
  { operation: "retryRun", at: "run", body: '{"mode":$}' },
  { operation: "rerunRun", at: "run", body: '{"input":{"notes":$}}' },
  { operation: "startRun", at: "train", body: '{"input":{"host":$}}' },
  { operation: "startRun", at: "train", body: '{"input":{"notes":$}}' },
  { operation: "startRun", at: "train", body: '{"key":$}' },
  { operation: "addJobs", at: "", body: '{"jobs":[{"workflow":$,"step":"greet"}]}' },
  { operation: "addJobs", at: "", body: '{"jobs":[{"workflow":"hello","step":$}]}' },
  { operation: "addJobs", at: "", body: '{"jobs":[{"workflow":"hello","step":"greet","key":$}]}' },
  { operation: "addJobs", at: "", body: '{"jobs":[{"workflow":"hello","step":"greet","host":$}]}' },
  { operation: "explain", at: "", body: '{"requires":[$]}' },
  { operation: "explain", at: "", body: '{"requires":["has-gpu"],"host":$}' },
  { operation: "steerNode", at: "forge", body: '{"note":$}' },
  { operation: "pauseStrand", at: "hello", body: '{"note":$}' },
  { operation: "createToken", at: "", body: '{"name":$,"scopes":["read"]}' },
  { operation: "createToken", at: "", body: '{"name":"ci","scopes":[$]}' },
];

describe("text that fits nowhere", () => {
  test("in a path is answered as what it is: not there, or not possible", async ({
    app,
    call,
    queue,
  }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpu"] });
    const document = (await (await app.request("/openapi.json")).json()) as Document;
    const withParams = operationsOf(document).filter(({ path }) => path.includes("{"));
    expect(withParams.length).toBeGreaterThan(15);
    const wrong: string[] = [];
    for (const { method, path, id } of withParams) {
      for (const text of TEXTS) {
        // Any name is one of an event: a signal may come before a workflow waits for it.
        if (id === "sendSignal" && /^[a-z]+$/.test(text)) continue;
        const at = path
          .replace("{verb}", "pause")
          .replace(/\{\w+\}/, encodeURIComponent(text))
          .replace("/api/loom", "");
        const body = method === "POST" ? {} : undefined;
        const { status } = await call(method as "GET", at, body);
        if (status !== 404 && status !== 422)
          wrong.push(`${id} ${JSON.stringify(text)}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.for(BODIES)(
    "in a body is taken or refused: $operation $body",
    async ({ operation, at, body }, { app, call, queue }) => {
      await sayHello(queue, "forge", { capabilities: ["has-gpu"] });
      const { body: started } = await call("POST", "/strands/train/run");
      await queue.cancelRun(String(started.runId));
      const document = (await (await app.request("/openapi.json")).json()) as Document;
      const described = operationsOf(document).find(({ id }) => id === operation);
      const path = described?.path
        .replace("{verb}", "pause")
        .replace(/\{\w+\}/, at === "run" ? String(started.runId) : at)
        .replace("/api/loom", "");
      for (const text of [...TEXTS, "\ud800"]) {
        const sent = JSON.parse(body.replace("$", () => JSON.stringify(text))) as unknown;
        const answer = await call("POST", String(path), sent);
        expect(
          [200, 201, 202, 204, 404, 422],
          `${JSON.stringify(text)}: ${answer.status}`,
        ).toContain(answer.status);
        // A problem document is valid JSON, whatever it quotes.
        if (answer.status >= 400) expect(answer.body.code).toMatch(/^[A-Z_]+$/);
      }
    },
  );

  test("names the step that a retry was to begin with, and those that there are", async ({
    call,
    queue,
  }) => {
    const { body: started } = await call("POST", "/strands/train/run", {});
    await queue.cancelRun(String(started.runId));
    const retry = { mode: "from", step: "fitt\r\n" };
    expect(await call("POST", `/runs/${started.runId}/retry`, retry)).toMatchObject({
      status: 404,
      body: { code: "UNKNOWN_STEP", hint: "use one of fit, report" },
    });
  });
});

import { randomUUID } from "node:crypto";
import { verifyExec } from "@loom/code";
import { createHub } from "@loom/hub";
import { digestOf, makeToken, type Scope } from "@loom/queue";
import { createInlinePlanner } from "@loom/worker";
import type { PlannedJob } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { type Body, claim, sayHello, signingKey, TOKEN, test } from "./fixtures.ts";

const command = { argv: ["echo", "hi"], needs: ["has-gpu"] };

/** Tokens by their scopes. */
const tokenOf = async (
  call: (method: "POST", path: string, body: unknown) => Promise<{ body: Body }>,
  ...scopes: string[]
) => {
  const { body } = await call("POST", "/tokens", { name: scopes.join(), scopes });
  return { authorization: `Bearer ${body.token}` };
};

describe("a command", () => {
  test("is a run of its own, which the hub has signed for it", async ({ call, queue }) => {
    await sayHello(queue, "tower", { capabilities: ["exec", "has-gpu"] });
    const as = await tokenOf(call, "read", "run", "exec");
    const started = await call("POST", "/strands/exec/run", { input: command }, as);
    expect(started).toMatchObject({ status: 202, body: { verdict: { verdict: "now" } } });
    const run = (await call("GET", `/runs/${started.body.runId}`)).body;
    expect(run).toMatchObject({
      ...{ workflow: "exec", askedBy: "token read,run,exec" },
      steps: [{ step: "command", requires: ["exec", "has-gpu"], maxAttempts: 1 }],
    });
    const { signed, ...rest } = run.input as never as { signed: never };
    const asked = { run: String(run.id), now: new Date(), publicKey: signingKey.publicKey };
    expect(verifyExec(rest as never, signed, asked)).toBe("ok");
    const inAWeek = new Date(Date.now() + 7 * 86_400_000 + 1_000);
    expect(verifyExec(rest as never, signed, { ...asked, now: inAWeek })).toBe("expired");
  });

  test("may be an array, with a step for each", async ({ call, queue }) => {
    await sayHello(queue, "tower", { capabilities: ["exec"] });
    const sweep = [{ name: "lr", values: ["1", "2"] }];
    const input = { argv: ["train", "{lr}"], sweep, retries: 2 };
    const { body } = await call("POST", "/strands/exec/run", { input });
    expect((await call("GET", `/runs/${body.runId}`)).body).toMatchObject({
      steps: [
        { step: "command-0", maxAttempts: 3 },
        { step: "command-1", maxAttempts: 3 },
      ],
    });
  });

  test("that no node could ever run is refused with what would help", async ({ call, queue }) => {
    await sayHello(queue, "tower", { capabilities: ["has-gpu"] });
    const { status, body } = await call("POST", "/strands/exec/run", { input: command });
    expect({ status, code: body.code }).toEqual({ status: 422, code: "UNSATISFIABLE" });
    expect(JSON.stringify(body)).toContain("lacks exec");
  });

  test.for<[object, string]>([
    [{}, "input.argv is missing"],
    [{ argv: [] }, "input.argv"],
    [{ argv: [""] }, "input.argv[0] must name a program"],
    [{ argv: ["a\u0000b"] }, "input.argv[0]"],
    [{ argv: "ls -l" }, "input.argv must be a list"],
    [{ argv: ["ls"], env: { LOOM_ATTEMPT: "x" } }, "input.env.LOOM_ATTEMPT"],
    [{ argv: ["ls"], env: { "A B": "x" } }, "input.env"],
    [{ argv: ["ls"], needs: ["a b c"] }, "input.needs[0]"],
    [{ argv: ["ls"], out: ["../x"] }, "input.out must be paths below the folder"],
    [{ argv: ["ls"], out: ["/etc"] }, "input.out must be paths below the folder"],
    [{ argv: ["ls"], out: ["a/b", "a"] }, "input.out must not name a path twice"],
    [
      { argv: ["ls"], out: ["{to}"], sweep: [{ name: "to", values: ["a", "../b"] }] },
      "input.out must be paths below the folder",
    ],
    [
      { argv: ["ls"], out: ["{a}{a}"], sweep: [{ name: "a", values: ["x".repeat(600)] }] },
      "input.out must be paths of at most 1000 characters",
    ],
    [
      { argv: ["{a}".repeat(300)], sweep: [{ name: "a", values: ["x".repeat(600)] }] },
      "input.argv must have at most 131071 characters in each",
    ],
    [
      {
        argv: Array(30).fill("{a}".repeat(200)),
        sweep: [{ name: "a", values: ["x".repeat(600)] }],
      },
      "input.argv must have at most 2097152 characters in all",
    ],
    [{ argv: ["ls"], in: { name: "x", size: 1, sha256: "short" } }, "input.in.sha256"],
    [{ argv: ["ls"], in: { name: "x", size: 1 } }, "input.in.sha256"],
    [{ argv: ["ls"], host: "../x" }, "input.host"],
    [{ argv: ["ls"], count: 1_001 }, "input.count"],
    [{ argv: ["ls"], count: 2, sweep: [{ name: "a", values: ["1"] }] }, "input.count"],
    [
      {
        argv: ["ls"],
        sweep: ["a", "b"].map((name) => ({ name, values: Array(40).fill("x") })),
      },
      "input.sweep must make at most 1000 commands",
    ],
    [{ argv: ["ls"], sweep: [{ name: "index", values: ["a"] }] }, "input.sweep[0].name"],
    [{ argv: ["ls"], shell: true }, "input has no field"],
  ])("%j is refused: %s", async ([input, why], { call, countRows }) => {
    const { status, body } = await call("POST", "/strands/exec/run", { input });
    expect({ status, code: body.code }).toEqual({ status: 422, code: "INVALID_INPUT" });
    const errors = body.errors as { path: string; message: string }[];
    expect(errors.map(({ path, message }) => `${path} ${message}`).join("; ")).toContain(why);
    expect(await countRows()).toMatchObject({ runs: 0 });
  });

  test("is signed anew when it is repeated", async ({ call, queue }) => {
    const session = await sayHello(queue, "tower", { capabilities: ["exec", "has-gpu"] });
    const { body: first } = await call("POST", "/strands/exec/run", { input: command });
    await fail(queue, session);
    const retried = await call("POST", `/runs/${first.runId}/retry`);
    expect(retried.status).toBe(202);
    const rerun = await call("POST", `/runs/${first.runId}/rerun`);
    expect(rerun.status).toBe(202);
    for (const { runId } of [retried.body, rerun.body]) {
      const run = (await call("GET", `/runs/${runId}`)).body;
      expect(run).toMatchObject({ retryOf: first.runId });
      const { signed, ...rest } = run.input as never as { signed: never };
      const asked = { run: String(runId), now: new Date(), publicKey: signingKey.publicKey };
      expect(verifyExec(rest as never, signed, asked)).toBe("ok");
    }
    expect(first.runId).not.toBe(retried.body.runId);
    const other = await call("POST", `/runs/${first.runId}/rerun`, { input: { argv: ["true"] } });
    expect((await call("GET", `/runs/${other.body.runId}`)).body).toMatchObject({
      input: { argv: ["true"] },
    });
  });

  test("that a stranger wrote into the database is not signed by a repetition", async ({
    call,
    queue,
    countRows,
  }) => {
    const session = await sayHello(queue, "tower", { capabilities: ["exec", "has-gpu"] });
    const { body } = await call("POST", "/strands/exec/run", { input: command });
    const { input } = (await call("GET", `/runs/${body.runId}`)).body as { input: object };
    const job: PlannedJob = {
      ...{ step: "command", after: [], requires: ["exec"], host: null, prefers: [], priority: 1 },
      ...{ timeoutMs: 1_000, maxCrashRestarts: 0, startWithinMs: null, concurrency: null },
      ...{ runsAfter: "success", optional: false, skip: "pass", hasCondition: false },
      retry: { attempts: 1, backoff: { kind: "fixed", delayMs: 1, maxDelayMs: 1 } },
    };
    // The same signature, in a run of the stranger's.
    const { runId } = await queue.startRun({
      ...{ workflow: "exec", version: "1", input: input as never, jobs: [job] },
    });
    await fail(queue, session);
    const before = await countRows();
    for (const verb of ["retry", "rerun"]) {
      expect(await call("POST", `/runs/${runId}/${verb}`)).toMatchObject({
        status: 409,
        body: { code: "EXEC_NOT_SIGNED" },
      });
    }
    expect(await countRows()).toEqual(before);
  });

  test("is not started by a hub without a signing key", async ({ queue }) => {
    const planner = createInlinePlanner([]);
    const app = createHub({ queue, planner, log: pino({ level: "silent" }), token: TOKEN });
    const answer = await app.request("/api/loom/strands/exec/run", {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ input: command }),
    });
    expect(await answer.json()).toMatchObject({ status: 409, code: "EXEC_UNAVAILABLE" });
  });
});

describe("the scope exec", () => {
  /** A failed run and a failed job of a command, and a schedule of one, as somebody could leave them in the database. */
  const leave = test.extend("left", async ({ call, queue, database }) => {
    const session = await sayHello(queue, "tower", { capabilities: ["exec", "has-gpu"] });
    const { body } = await call("POST", "/strands/exec/run", { input: command });
    const [job] = await queue.enqueue([
      { workflow: "exec", step: "command", input: {}, requires: ["exec"] },
    ]);
    await fail(queue, session);
    await database.sql`
      insert into public.loom_schedules (id, workflow_id, expression, time_zone, input, missed, overlap, grace_ms)
      select 'exec', 'exec', '0 0 1 1 *', 'UTC', '{"argv":["true"]}', '"skip"', 'allow', 60000`;
    return { run: String(body.runId), job: job?.id ?? 0 };
  });

  const attempts = (left: { run: string; job: number }): [string, object | undefined, number][] => [
    ["/strands/exec/run", { input: command }, 202],
    ["/strands/%65xec/run", { input: command }, 202],
    ["/jobs", { jobs: [{ workflow: "exec", step: "command", input: command }] }, 409],
    [
      "/jobs",
      {
        jobs: [
          { workflow: "hello", step: "greet" },
          { workflow: "exec", step: "command" },
        ],
      },
      409,
    ],
    [`/runs/${left.run}/retry`, undefined, 202],
    [`/runs/${left.run}/retry`, { mode: "all" }, 202],
    [`/runs/${left.run}/rerun`, undefined, 202],
    [`/runs/${left.run}/rerun`, { input: { argv: ["rm"] } }, 202],
    [`/jobs/${left.job}/redrive`, undefined, 409],
    ["/schedules/exec/trigger", undefined, 404],
  ];

  leave(
    "is needed for everything that could make a job of a command",
    async ({ left, call, countRows }) => {
      const without = await tokenOf(call, "read", "run", "operate");
      const before = await countRows();
      for (const [path, body] of attempts(left)) {
        const answer = await call("POST", path, body, without);
        expect({ path, status: answer.status, code: answer.body.code }).toEqual({
          ...{ path, status: 403, code: "SCOPE_MISSING" },
        });
        expect(answer.body.detail).toContain("needs the scope exec");
      }
      expect(await countRows()).toEqual(before);
      const alone = await tokenOf(call, "exec");
      const refused = await call("POST", "/strands/exec/run", { input: command }, alone);
      expect(refused.body).toMatchObject({ code: "SCOPE_MISSING" });
    },
  );

  test("counts only where this hub gave it: who can write a token into the database starts no command", async ({
    call,
    queue,
    countRows,
  }) => {
    const forge = async (...scopes: Scope[]) => {
      const token = makeToken();
      await queue.createToken({ name: scopes.join(), digest: digestOf(token), scopes });
      return { authorization: `Bearer ${token}` };
    };
    const admin = await forge("admin");
    const made = await call("POST", "/tokens", { name: "x", scopes: ["run", "exec"] }, admin);
    const before = await countRows();
    for (const as of [
      await forge("run", "exec"),
      admin,
      { authorization: `Bearer ${made.body.token}` },
    ]) {
      const refused = await call("POST", "/strands/exec/run", { input: command }, as);
      expect(refused).toMatchObject({ status: 403, body: { code: "EXEC_TOKEN_UNPROVEN" } });
    }
    expect(await countRows()).toEqual(before);
  });

  test("does not grow when somebody writes it into the row of a token that had less", async ({
    call,
    database,
  }) => {
    const as = await tokenOf(call, "read", "run");
    await database.sql`update public.loom_tokens set scopes = array['read', 'run', 'exec']`;
    const refused = await call("POST", "/strands/exec/run", { input: command }, as);
    expect(refused).toMatchObject({ status: 403, body: { code: "EXEC_TOKEN_UNPROVEN" } });
  });

  leave("lets a command be started and repeated, and nothing else", async ({ left, call }) => {
    const as = await tokenOf(call, "read", "run", "exec");
    for (const [path, body, status] of attempts(left)) {
      const answer = await call("POST", path, body, as);
      expect({ path, status: answer.status }).toEqual({ path, status });
    }
  });
});

/** Lets a node claim everything, and fail it. */
async function fail(
  queue: Parameters<typeof claim>[0],
  session: { node: string; epoch: number },
): Promise<void> {
  const waiting = await queue.listWaiting();
  const offers = waiting.map(({ id }) => ({ job: id, node: session.node, placement: null }));
  await queue.place({ offers, refusals: [] });
  const jobs = await claim(queue, session, Math.floor(Math.random() * 1e6) + 1);
  const error = { name: "CommandFailedError", message: randomUUID(), exitCode: 1 };
  await queue.settle(
    session.node,
    jobs.map(({ id, fence }) => ({ id, fence, outcome: "failed", error, retryable: false })),
  );
}

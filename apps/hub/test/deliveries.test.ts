import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { createInlinePlanner, createWaker } from "@loom/worker";
import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished } from "vitest";
import { createDeliveryLoop } from "../src/control/deliveries.ts";
import { createSeal } from "../src/hooks/seal.ts";
import { completeTarget, sealTarget } from "../src/hooks/targets.ts";
import { createHubContext } from "../src/hub-context.ts";
import { type Body, claim, collectLog, sayHello, startProgram, TOKEN, test } from "./fixtures.ts";
import { startKillProxy } from "./kill-proxy.ts";
import { startReceiver } from "./receiver.ts";

const seal = createSeal();

/** Adds a hook with a webhook. Returns its secret. */
async function addHook(queue: Queue, name: string, url: string): Promise<string> {
  const { target, secret = "" } = completeTarget({ kind: "webhook", url });
  await queue.createHook({
    name,
    rules: ["run.failed"],
    workflows: [],
    waitingMs: null,
    enabled: true,
    target: sealTarget(target, name, seal),
    createdBy: "ada",
  });
  return secret;
}

/** The loop of a hub that leads. `free` resolves when so many attempts have ended. */
async function startLoop(
  queue: Queue,
  { timeoutMs, stopping }: { timeoutMs?: number; stopping?: AbortSignal } = {},
) {
  const { lines, log } = collectLog();
  const waker = createWaker();
  let ended = 0;
  const hub = createHubContext({
    queue,
    planner: createInlinePlanner([]),
    log,
    token: undefined,
    seal,
    ...(stopping && { stopping }),
  });
  const loop = createDeliveryLoop({
    ...hub,
    ...(timeoutMs !== undefined && { timeoutMs }),
    onFree: () => {
      ended += 1;
      waker.wake();
    },
  });
  const { epoch } = await queue.lead("one", 3_600_000);
  return {
    lines,
    metrics: hub.metrics,
    round: () => loop.round(epoch),
    async ended(count: number) {
      while (ended < count) await waker.wait(30_000, new AbortController().signal);
    },
  };
}

const deliveriesOf = async (queue: Queue, name: string) =>
  (await queue.listDeliveries(name))?.deliveries ?? [];

describe("the loop that sends", () => {
  test("does not let a target that hangs delay another, or the next message of a hook overtake", async ({
    queue,
  }) => {
    const hanging = await startReceiver(() => {});
    const healthy = await startReceiver();
    await addHook(queue, "hanging", hanging.url);
    const secret = await addHook(queue, "healthy", healthy.url);
    for (const name of ["hanging", "hanging", "healthy"]) await queue.testHook(name, "ada");
    const loop = await startLoop(queue, { timeoutMs: 2_000 });
    await loop.round();
    await loop.ended(1);
    const { headers, body } = healthy.received[0] ?? { headers: {}, body: "" };
    new Webhook(secret).verify(body, headers as Record<string, string>);
    expect(await deliveriesOf(queue, "healthy")).toMatchObject([
      { state: "delivered", status: 200, answer: "ok", attempts: 1 },
    ]);
    // The other one is still waited for.
    expect(await loop.round()).toBeGreaterThan(60_000);
    expect(hanging.received).toHaveLength(1);
    await loop.ended(2);
    expect(await deliveriesOf(queue, "hanging")).toMatchObject([
      { attempts: 0 },
      { state: "pending", attempts: 1, error: "no answer within 2 s" },
    ]);
    expect(loop.lines).toContainEqual(
      expect.objectContaining({ hook: "hanging", msg: "a message did not arrive" }),
    );
    const counted = await loop.metrics.registry.metrics();
    expect(counted).toContain('loom_hook_attempts_total{outcome="delivered"} 1');
    expect(counted).toContain('loom_hook_attempts_total{outcome="retry"} 1');
    expect(JSON.stringify(loop.lines)).not.toContain('/hook"');
  });

  test("says when another hub's key sealed the target", async ({ queue }) => {
    const target = { kind: "slack", url: "http://127.0.0.1:9/" } as const;
    await queue.createHook({
      name: "chat",
      rules: ["run.failed"],
      workflows: [],
      waitingMs: null,
      enabled: true,
      target: sealTarget(target, "chat", createSeal()),
      createdBy: "ada",
    });
    await queue.testHook("chat", "ada");
    const loop = await startLoop(queue);
    await loop.round();
    await loop.ended(1);
    const [delivery] = await deliveriesOf(queue, "chat");
    expect(delivery?.error).toContain("LOOM_SIGNING_KEY_FILE");
  });

  test("leaves what a stop cut off to the next hub", async ({ queue, database }) => {
    const stop = new AbortController();
    const receiver = await startReceiver((response) => {
      if (receiver.received.length === 1) stop.abort();
      else response.writeHead(200).end();
    });
    await addHook(queue, "chat", receiver.url);
    await queue.testHook("chat", "ada");
    const first = await startLoop(queue, { stopping: stop.signal });
    await first.round();
    await first.ended(1);
    expect(await deliveriesOf(queue, "chat")).toMatchObject([
      { state: "pending", attempts: 1, error: null },
    ]);
    await database.sql`update public.loom_hook_deliveries set next_at = now()`;
    const next = await startLoop(queue);
    await next.round();
    await next.ended(1);
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    expect(ids).toEqual([ids[0], ids[0]]);
    expect(await deliveriesOf(queue, "chat")).toMatchObject([{ state: "delivered", attempts: 2 }]);
  });
});

describe("a hub", { timeout: 60_000 }, () => {
  /** A running hub; its calls go through `url`. */
  async function startHub(database: { serviceKey: string }, url: string) {
    const program = await startProgram(["start"], {
      SUPABASE_URL: url,
      SUPABASE_SECRET_KEY: database.serviceKey,
      LOOM_TOKEN: TOKEN,
      LOOM_NODE_NAME: "oracle",
      LOOM_WAKE: "off",
      PORT: "0",
    });
    const { url: address } = await program.said("listening");
    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(`${address}/api/loom${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return (await answer.json()) as Record<string, string>;
    };
    return { ...program, call };
  }

  test("that is killed between the sending and the record of it sends the message again, under the same id", async ({
    queue,
    database,
  }) => {
    const receiver = await startReceiver();
    const doomed = Promise.withResolvers<{ pid: number }>();
    const proxy = await startKillProxy(
      database.url,
      { call: "loom_record_delivery", when: "before" },
      () => void doomed.promise.then(({ pid }) => process.kill(pid, "SIGKILL")),
    );
    const first = await startHub(database, proxy);
    doomed.resolve(first.child);
    const target = { kind: "webhook", url: receiver.url };
    const made = await first.call("POST", "/hooks", { name: "ops", rules: ["run.failed"], target });
    await first.call("POST", "/hooks/ops/test").catch(() => {});
    await first.child.exited;
    await receiver.has(1);
    expect(await deliveriesOf(queue, "ops")).toMatchObject([{ state: "pending", attempts: 1 }]);

    await database.sql`update public.loom_hook_deliveries set next_at = now()`;
    const second = await startHub(database, database.url);
    onTestFinished(() => void second.child.stop());
    await receiver.has(2);
    await expect
      .poll(() => deliveriesOf(queue, "ops"), { timeout: 20_000 })
      .toMatchObject([{ state: "delivered", attempts: 2, status: 200 }]);
    const [one, two] = receiver.received;
    expect(two?.headers["webhook-id"]).toBe(one?.headers["webhook-id"]);
    for (const { headers, body } of receiver.received) {
      new Webhook(made.secret ?? "").verify(body, headers as Record<string, string>);
    }
    const [row] = await deliveriesOf(queue, "ops");
    expect(one?.headers["webhook-id"]).toBe(row?.id);
    // Neither hub has written a secret or an address to its log.
    const output = [...first.output, ...second.output].join("\n");
    expect(output).not.toContain(made.secret);
    expect(output).not.toContain(receiver.url);
  });

  test("notifies a hook of a run that failed, and of the next one that succeeded", async ({
    queue,
    database,
  }) => {
    const receiver = await startReceiver();
    const { call } = await startHub(database, database.url);
    const target = { kind: "webhook", url: receiver.url };
    const rules = ["run.failed", "run.recovered"];
    await call("POST", "/hooks", { name: "ops", rules, target });
    const forge = await sayHello(queue, "forge");
    for (const [seq, outcome] of (["failed", "succeeded"] as const).entries()) {
      await queue.startRun(makePlan([{ step: "only", host: "forge" }]));
      const [job] = await claim(queue, forge, seq + 1);
      const { id = 0, fence = 0 } = job ?? {};
      const end =
        outcome === "failed" ? { outcome, error: { message: "no disk" } } : { outcome, result: 7 };
      await queue.settle("forge", [{ id, fence, ...end }]);
      await receiver.has(seq + 1);
    }
    const bodies = receiver.received.map(({ body }) => JSON.parse(body) as Body);
    expect(bodies).toMatchObject([
      {
        type: "run.failed",
        data: { workflow: "made-for-test", text: expect.stringContaining("no disk") },
      },
      { type: "run.recovered", data: { title: "made-for-test works again" } },
    ]);
  });

  test("notifies a hook of a step that asks a person", async ({ queue, database }) => {
    const receiver = await startReceiver();
    const { call } = await startHub(database, database.url);
    const target = { kind: "webhook", url: receiver.url };
    await call("POST", "/hooks", { name: "ops", rules: ["approval.asked"], target });
    await queue.startRun(
      makePlan([
        {
          step: "ship",
          wait: {
            ...{ kind: "approval", title: "Ship the order?", who: ["ada"], timeoutMs: null },
            ...{ onTimeout: "fail", inputSchema: null, defaultInput: {} },
          },
        },
      ]),
    );
    await receiver.has(1);
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({
      type: "approval.asked",
      data: { title: "made-for-test asks: Ship the order?", step: "ship", who: ["ada"] },
    });
  });
});

import { randomUUID } from "node:crypto";
import type { Queue } from "@loom/queue";
import { joinAs } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { type Body, claim, runAll, sayHello, test } from "./fixtures.ts";

const helloOf = (queue: Queue, name: string, capabilities: string[] = []) =>
  queue.hello({ name, incarnation: randomUUID(), leaseMs: 45_000, capabilities, slots: 4 });

describe("a node's keys", () => {
  test("are listed without their secret, and one that is revoked lets nobody in", async ({
    queue,
    database,
    call,
  }) => {
    const pi = await joinAs("pi", { queue, database });
    await helloOf(pi.queue, "pi");
    const listed = await call("GET", "/nodes/pi/keys");
    expect(listed.body).toMatchObject({
      data: [{ id: pi.keyId, node: "pi", createdBy: "ada", valid: true, revokedAt: null }],
    });
    expect(JSON.stringify(listed.body)).not.toContain(pi.text);
    expect((await call("DELETE", `/nodes/tower/keys/${pi.keyId}`)).body).toMatchObject({
      code: "NODE_KEY_NOT_FOUND",
    });
    const revoked = await call("DELETE", `/nodes/pi/keys/${pi.keyId}`);
    expect(revoked).toMatchObject({ status: 200, body: { key: { valid: false }, requeued: 0 } });
    await expect(helloOf(pi.queue, "pi")).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
    // It is written down who did it.
    const { body } = await call("GET", "/audit");
    expect(body).toMatchObject({ data: [{ action: "revokeNodeKey", who: "bootstrap token" }] });
  });

  test("let a node offer what it asked for as soon as that is allowed", async ({
    queue,
    database,
    call,
  }) => {
    const pi = await joinAs("pi", { queue, database });
    await helloOf(pi.queue, "pi", ["cpus=4", "has-nas"]);
    const node = async () => (await call("GET", "/nodes/pi")).body;
    expect(await node()).toMatchObject({
      capabilities: ["cpus=4"],
      askedCapabilities: ["has-nas"],
    });
    const allowed = await call("POST", "/nodes/pi/allow", { names: ["has-nas"] });
    expect(allowed).toMatchObject({ status: 200, body: { mayOffer: ["has-nas"], asked: [] } });
    expect(await node()).toMatchObject({
      capabilities: expect.arrayContaining(["cpus=4", "has-nas"]),
      askedCapabilities: [],
    });
    const taken = await call("POST", "/nodes/pi/allow", { names: ["has-nas"], allow: false });
    expect(taken.body).toMatchObject({ mayOffer: [], asked: ["has-nas"] });
    const bad = await call("POST", "/nodes/pi/allow", { names: ["has nas"] });
    expect(bad).toMatchObject({ status: 422, body: { code: "INVALID_REQUEST" } });
  });
});

describe("removing a node", () => {
  test("is refused while it runs a step, unless it is forced, and then gives the step back", async ({
    queue,
    call,
  }) => {
    const tower = await sayHello(queue, "tower");
    const [job] = await queue.enqueue([{ workflow: "hello", step: "greet", input: null }]);
    const offers = [{ job: Number(job?.id), node: "tower", placement: null }];
    await queue.place({ offers, refusals: [] });
    await claim(queue, tower, 1);
    const refused = await call("DELETE", "/nodes/tower");
    expect(refused).toMatchObject({ status: 409, body: { code: "NODE_BUSY" } });
    expect(refused.body.hint).toContain("force");
    expect(await call("DELETE", "/nodes/tower?force=true")).toMatchObject({
      status: 200,
      body: { requeued: 1 },
    });
    const next = await sayHello(queue, "pi");
    await runAll(queue, next);
    expect((await call("GET", `/jobs/${job?.id}`)).body).toMatchObject({ state: "succeeded" });
  });

  test("takes it out of the lists and out of the doctor, and its keys with it", async ({
    queue,
    database,
    call,
  }) => {
    const pi = await joinAs("pi", { queue, database });
    await helloOf(pi.queue, "pi");
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 hour' where node = 'pi'`;
    const agents = async () => {
      const { checks } = (await call("GET", "/doctor")).body as { checks: Body[] };
      return checks.find(({ name }) => name === "agents");
    };
    expect(await agents()).toMatchObject({ findings: [{ subject: "pi" }] });
    expect((await call("DELETE", "/nodes/pi")).status).toBe(200);
    expect((await call("GET", "/nodes")).body).toEqual({ data: [] });
    expect(JSON.stringify(await agents())).not.toContain('"pi"');
    expect((await call("GET", "/nodes/pi/keys")).body).toMatchObject({ code: "NODE_NOT_FOUND" });
    await expect(helloOf(pi.queue, "pi")).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
    expect((await call("DELETE", "/nodes/pi")).body).toMatchObject({ code: "NODE_NOT_FOUND" });
    // The name is free for another machine.
    const other = await joinAs("pi", { queue, database });
    await helloOf(other.queue, "pi");
  });
});

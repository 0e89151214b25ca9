import { databaseTest } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../src/testing/agent.ts";
import { joinAs, makeKey, queueWithKey } from "../src/testing/hosted/node-key.ts";
import { makeJob } from "../src/testing/new-job.ts";

const test = databaseTest.extend("forge", ({ queue, database }) =>
  joinAs("forge", { queue, database }),
);

describe("a node's key", () => {
  test("does an agent's work for its own node", async ({ queue, forge }) => {
    await queue.enqueue([makeJob()]);
    const session = await sayHello(forge.queue, "forge");
    await offerAll(queue, "forge");
    const job = only(await claim(forge.queue, session));
    const held = { node: "forge", id: job.id, fence: job.fence };
    expect(await forge.queue.appendLog(held, [{ start: 0, chunk: "one\n" }])).toBe("accepted");
    expect(await forge.queue.saveCheckpoint(held, { seq: 1, json: '{"page":1}' })).toBe("accepted");
    expect(await forge.queue.heartbeat(session)).toMatchObject({ session: "live" });
    const settled = await forge.queue.settle("forge", [
      { ...job, outcome: "succeeded", result: 1 },
    ]);
    expect(settled).toMatchObject([{ answer: "accepted", state: "succeeded" }]);
    expect(await forge.queue.describeDatabase()).toMatchObject({ oldestWriter: null });
  });

  test("is refused in a short answer that says nothing of other nodes", async ({
    queue,
    database,
    forge,
  }) => {
    await joinAs("oracle", { queue, database });
    const ask = async (node: string, key: string | undefined) => {
      const answer = await fetch(`${database.url}/rest/v1/rpc/loom_heartbeat`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${database.anonKey}`,
          ...(key !== undefined && { "x-loom-node-key": key }),
        },
        body: JSON.stringify({ p_node: node, p_epoch: 1 }),
      });
      return { status: answer.status, body: await answer.text() };
    };
    const refused = await ask("oracle", forge.text);
    expect(refused.status).toBe(403);
    expect(refused.body.length).toBeLessThan(200);
    expect(JSON.parse(refused.body)).toMatchObject({ details: "NODE_KEY_REFUSED" });
    for (const [node, key] of [
      ["nobody", forge.text],
      ["forge", makeKey().text],
      ["forge", undefined],
      ["forge", ""],
      ["Not A Name", forge.text],
    ] as const) {
      expect(await ask(node, key)).toEqual(refused);
    }
  });

  test("ends with the session that it opened, whose jobs go back at once", async ({
    queue,
    forge,
  }) => {
    await queue.enqueue([makeJob(), makeJob()]);
    const session = await sayHello(forge.queue, "forge", { slots: 1 });
    await offerAll(queue, "forge");
    const job = only(await claim(forge.queue, session, { limit: 1 }));

    expect(await queue.revokeNodeKey(forge.keyId)).toMatchObject({ requeued: 1 });
    expect(await queue.getJob(job.id)).toMatchObject({ state: "waiting", crashRestarts: 1 });
    expect(await queue.listWaiting()).toHaveLength(2);
    await expect(forge.queue.heartbeat(session)).rejects.toMatchObject({
      code: "QUEUE_ACCESS",
      reason: "NODE_KEY_REFUSED",
    });
    expect(only(await queue.listNodes())).toMatchObject({ name: "forge", online: false });
    expect(await queue.revokeNodeKey(forge.keyId)).toMatchObject({ requeued: 0 });
    expect(await queue.verify()).toEqual([]);
  });

  test("is changed without a pause: two are valid, and the session goes over to the new one", async ({
    database,
    forge,
  }) => {
    const session = await sayHello(forge.queue, "forge");
    const next = makeKey();
    const rotated = await forge.queue.rotateNodeKey("forge", next.digest);
    expect(await forge.queue.rotateNodeKey("forge", next.digest)).toEqual(rotated);
    const changed = queueWithKey(database, next.text);
    expect(await forge.queue.heartbeat(session)).toMatchObject({ session: "live" });
    expect(await changed.heartbeat(session)).toMatchObject({ session: "live" });

    expect(await forge.queue.revokeOwnKey("forge")).toEqual({ requeued: 0 });
    expect(await changed.heartbeat(session)).toMatchObject({ session: "live" });
    await expect(forge.queue.heartbeat(session)).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });

  test("is one of at most two valid keys", async ({ queue, forge }) => {
    await forge.queue.rotateNodeKey("forge", makeKey().digest);
    await forge.queue.rotateNodeKey("forge", makeKey().digest);
    const valid = (await queue.listNodeKeys("forge")).filter((key) => key.valid);
    expect(valid).toHaveLength(2);
    expect(valid.map(({ id }) => id)).toContain(forge.keyId);
  });

  test("revokes the keys made with it when an administrator revokes it", async ({
    queue,
    database,
    forge,
  }) => {
    const [second, third] = [makeKey(), makeKey()];
    await forge.queue.rotateNodeKey("forge", second.digest);
    const thief = queueWithKey(database, second.text);
    await thief.rotateNodeKey("forge", third.digest);
    const heir = queueWithKey(database, third.text);
    await sayHello(heir, "forge");
    const events = await database.sql<{ detail: string }[]>`
      select detail from public.loom_events where type = 'node.joined' and detail = 'the node itself'`;
    expect(events).toHaveLength(2);

    await queue.revokeNodeKey(forge.keyId);
    expect((await queue.listNodeKeys("forge")).filter((key) => key.valid)).toEqual([]);
    expect(only(await queue.listNodes())).toMatchObject({ online: false });
    await expect(sayHello(heir, "forge")).rejects.toMatchObject({ reason: "NODE_KEY_REFUSED" });
    expect(await queue.verify()).toEqual([]);
  });

  test("is listed while it is valid, however many keys were revoked since", async ({
    queue,
    database,
    forge,
  }) => {
    await database.sql`
      insert into public.loom_node_keys (node, digest, created_by, revoked_at)
      select 'forge', encode(sha256(convert_to(n::text, 'UTF8')), 'hex'), 'a test', now()
        from generate_series(1, 1000) as n`;
    const [first] = await queue.listNodeKeys("forge");
    expect(first).toMatchObject({ id: forge.keyId, valid: true });
  });

  test("expires", async ({ database, forge }) => {
    await database.sql`update public.loom_node_keys set expires_at = now() - interval '1 second'`;
    await expect(sayHello(forge.queue, "forge")).rejects.toMatchObject({
      reason: "NODE_KEY_REFUSED",
    });
  });

  test("stores its last use at most once a minute", async ({ queue, database, forge }) => {
    const lastUsed = async () => only(await queue.listNodeKeys("forge")).lastUsedAt;
    expect(await lastUsed()).toBeNull();
    const session = await sayHello(forge.queue, "forge");
    const first = await lastUsed();
    expect(first).toBeInstanceOf(Date);
    await forge.queue.heartbeat(session);
    expect(await lastUsed()).toEqual(first);
    await database.sql`update public.loom_node_keys set last_used_at = last_used_at - interval '61 seconds'`;
    await forge.queue.heartbeat(session);
    expect(await lastUsed()).not.toEqual(first);
  });

  test("does not make a hub's node", async ({ forge }) => {
    await expect(sayHello(forge.queue, "forge", { isHub: true })).rejects.toMatchObject({
      code: "QUEUE_ACCESS",
    });
  });
});

describe("what a node may offer", () => {
  const measured = ["gpu.model=RTX 4090", "has-gpu", "memory-gb=15", "os=linux"];

  test("is what probes measure and what its key lists, and other names are stored as asked for", async ({
    queue,
    database,
  }) => {
    const forge = await joinAs("forge", { queue, database }, { mayOffer: ["has-nas"] });
    const session = await sayHello(forge.queue, "forge", {
      capabilities: [...measured, "has-nas=big", "has-nasty", "exec"],
    });
    const known = async () => only(await queue.listNodes());
    expect(await known()).toMatchObject({
      capabilities: [...measured.slice(0, 2), "has-nas=big", ...measured.slice(2)],
      askedCapabilities: ["exec", "has-nasty"],
    });
    expect(await queue.allowOffers("forge", ["exec"])).toEqual({
      mayOffer: ["exec", "has-nas"],
      asked: ["has-nasty"],
    });
    expect(await known()).toMatchObject({ askedCapabilities: ["has-nasty"] });
    expect((await known()).capabilities).toContain("exec");
    await forge.queue.reportNode(session, { capabilities: ["exec", "rack=a"], slots: 1 });
    expect(await known()).toMatchObject({ capabilities: ["exec"], askedCapabilities: ["rack=a"] });
    await queue.allowOffers("forge", ["exec"], { allow: false });
    expect(await known()).toMatchObject({
      capabilities: [],
      askedCapabilities: ["exec", "rack=a"],
    });
  });

  test("is everything for *, except names that identify a node", async ({ queue, database }) => {
    const forge = await joinAs("forge", { queue, database }, { mayOffer: ["*"] });
    await sayHello(forge.queue, "forge", { capabilities: ["anything"] });
    expect(only(await queue.listNodes())).toMatchObject({ capabilities: ["anything"] });
    for (const capability of ["node=oracle", "loom-hub", "Loom-Hub"]) {
      await expect(
        sayHello(forge.queue, "forge", { capabilities: [capability] }),
      ).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await expect(queue.allowOffers("forge", [capability])).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    }
  });

  test("is not limited for the service role", async ({ queue }) => {
    await sayHello(queue, "forge", { capabilities: ["has-nas"] });
    expect(only(await queue.listNodes())).toMatchObject({
      capabilities: ["has-nas"],
      askedCapabilities: [],
    });
    expect(await queue.allowOffers("forge", ["has-nas"])).toBeNull();
  });
});

describe("removing a node", () => {
  test("is refused while it runs jobs, unless forced; then they go back", async ({
    queue,
    forge,
  }) => {
    await queue.enqueue([makeJob()]);
    const session = await sayHello(forge.queue, "forge");
    await offerAll(queue, "forge");
    const job = only(await claim(forge.queue, session));
    await expect(queue.removeNode("forge")).rejects.toMatchObject({ code: "NODE_BUSY" });
    expect(await queue.removeNode("forge", { force: true })).toEqual({ requeued: 1 });
    expect(await queue.getJob(job.id)).toMatchObject({ state: "waiting" });
    expect(await queue.listNodes()).toEqual([]);
    expect(await queue.listNodeKeys()).toEqual([]);
    await expect(forge.queue.heartbeat(session)).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
    expect(await queue.removeNode("forge")).toBeNull();
  });

  test("never lets a later node of the name repeat an epoch", async ({
    queue,
    database,
    forge,
  }) => {
    const { epoch } = await sayHello(forge.queue, "forge");
    await queue.removeNode("forge");
    const later = await joinAs("forge", { queue, database });
    expect((await sayHello(later.queue, "forge")).epoch).toBeGreaterThan(epoch);
  });
});

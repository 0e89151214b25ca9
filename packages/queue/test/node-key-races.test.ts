import { randomUUID } from "node:crypto";
import type { TransactionSql } from "postgres";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../src/testing/agent.ts";
import { databaseTest } from "../src/testing/database-test.ts";
import { joinAs, makeKey } from "../src/testing/hosted/node-key.ts";
import { makeJob } from "../src/testing/new-job.ts";
import { untilWaiting } from "../src/testing/until-waiting.ts";

const test = databaseTest.extend("forge", ({ queue, database }) =>
  joinAs("forge", { queue, database }),
);

/** From here on the transaction calls as PostgREST does for an agent with this key. */
const callAs = (sql: TransactionSql, key: string) => {
  const headers = JSON.stringify({ "x-loom-node-key": key });
  return sql`select set_config('role', 'anon', true), set_config('request.headers', ${headers}, true)`;
};

const REFUSED = { code: "QUEUE_ACCESS", reason: "NODE_KEY_REFUSED" };

describe("a key that is revoked at the moment of", () => {
  test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

  test("a hello that comes first ends the session that this one opens", async ({
    database,
    queue,
    forge,
  }) => {
    const { revoking } = await database.sql.begin(async (sql) => {
      await callAs(sql, forge.text);
      await sql`select public.loom_hello('forge', ${randomUUID()}, 45000, '{}', 1)`;
      const revoking = queue.revokeNodeKey(forge.keyId);
      await untilWaiting(database);
      return { revoking };
    });
    await revoking;
    expect(only(await queue.listNodes())).toMatchObject({ epoch: 1, online: false });
  });

  test("a hello that comes second refuses it", async ({ database, queue, forge }) => {
    const { hello } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_revoke_key(${forge.keyId})`;
      const hello = sayHello(forge.queue, "forge");
      hello.catch(() => {});
      await untilWaiting(database);
      return { hello };
    });
    await expect(hello).rejects.toMatchObject(REFUSED);
    expect(await queue.listNodes()).toEqual([]);
  });

  test("a claim that comes first gives back what it took", async ({ database, queue, forge }) => {
    const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
    const { epoch } = await sayHello(forge.queue, "forge");
    const { revoking } = await database.sql.begin(async (sql) => {
      await callAs(sql, forge.text);
      await sql`select public.loom_exchange('forge', ${epoch}, 1, 1)`;
      const revoking = queue.revokeNodeKey(forge.keyId);
      await untilWaiting(database);
      return { revoking };
    });
    expect(await revoking).toMatchObject({ requeued: 1 });
    expect(await queue.getJob(id)).toMatchObject({ state: "pending", ranOn: "forge", attempt: 0 });
  });

  test("a claim that comes second refuses it", async ({ database, queue, forge }) => {
    const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
    const session = await sayHello(forge.queue, "forge");
    const { claiming } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_revoke_key(${forge.keyId})`;
      const claiming = claim(forge.queue, session);
      claiming.catch(() => {});
      await untilWaiting(database);
      return { claiming };
    });
    await expect(claiming).rejects.toMatchObject(REFUSED);
    expect(await queue.getJob(id)).toMatchObject({ state: "pending", ranOn: null });
  });

  test("a settlement that comes first lets it count, and waits for nobody", async ({
    database,
    queue,
    forge,
  }) => {
    await queue.enqueue([makeJob({ host: "forge" })]);
    const { id, fence } = only(await claim(forge.queue, await sayHello(forge.queue, "forge")));
    await database.sql.begin(async (sql) => {
      await callAs(sql, forge.text);
      const items = JSON.stringify([{ id, fence, outcome: "succeeded", result: "1" }]);
      await sql`select public.loom_exchange('forge', p_items => ${items}::text::json)`;
      expect(await queue.revokeNodeKey(forge.keyId)).toMatchObject({ requeued: 0 });
    });
    expect(await queue.getJob(id)).toMatchObject({ state: "succeeded" });
  });

  test("a settlement that comes second refuses it, and the job is run again", async ({
    database,
    queue,
    forge,
  }) => {
    await queue.enqueue([makeJob({ host: "forge" })]);
    const { id, fence } = only(await claim(forge.queue, await sayHello(forge.queue, "forge")));
    const { settling } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_revoke_key(${forge.keyId})`;
      const settling = forge.queue.settle("forge", [
        { id, fence, outcome: "succeeded", result: 1 },
      ]);
      settling.catch(() => {});
      await untilWaiting(database);
      return { settling };
    });
    await expect(settling).rejects.toMatchObject(REFUSED);
    expect(await queue.getJob(id)).toMatchObject({ state: "pending", crashRestarts: 1 });
  });

  test("a heartbeat with another key leaves the session to that one", async ({
    database,
    queue,
    forge,
  }) => {
    const { epoch } = await sayHello(forge.queue, "forge");
    const next = makeKey();
    await forge.queue.rotateNodeKey("forge", next.digest);
    const { revoking } = await database.sql.begin(async (sql) => {
      await callAs(sql, next.text);
      await sql`select public.loom_heartbeat('forge', ${epoch})`;
      const revoking = forge.queue.revokeOwnKey("forge");
      await untilWaiting(database);
      return { revoking };
    });
    await revoking;
    expect(only(await queue.listNodes())).toMatchObject({ epoch, online: true });
  });
});

describe("two joins at the same time", () => {
  const join = (sql: TransactionSql, node: string, digest: string, token: string) =>
    sql`select public.loom_join_node(${node}, ${digest}, 'ada', ${token})`;

  test("use one token once", async ({ database, queue }) => {
    const token = makeKey("loomj").digest;
    await queue.createJoinToken({ digest: token, createdBy: "ada" });
    const first = makeKey().digest;
    const { joining, again } = await database.sql.begin(async (sql) => {
      await join(sql, "pi", first, token);
      const other = { node: "tower", digest: makeKey().digest, tokenDigest: token };
      const joining = queue.joinNode({ ...other, createdBy: "ada" });
      joining.catch(() => {});
      const same = { node: "pi", digest: first, tokenDigest: token, createdBy: "ada" };
      const again = queue.joinNode(same);
      await untilWaiting(database, 2);
      return { joining, again };
    });
    await expect(joining).rejects.toMatchObject({ code: "JOIN_TOKEN_REFUSED" });
    expect(await again).toMatchObject({ node: "pi", returned: "existing" });
    expect(await queue.listNodeKeys("pi")).toHaveLength(1);
    expect(await queue.listNodeKeys("tower")).toEqual([]);
  });

  test("give one name once", async ({ database, queue }) => {
    const [one, other] = [makeKey("loomj").digest, makeKey("loomj").digest];
    await queue.createJoinToken({ digest: one, createdBy: "ada" });
    await queue.createJoinToken({ digest: other, createdBy: "ada" });
    const { joining } = await database.sql.begin(async (sql) => {
      await join(sql, "pi", makeKey().digest, one);
      const second = { node: "pi", digest: makeKey().digest, tokenDigest: other };
      const joining = queue.joinNode({ ...second, createdBy: "ada" });
      joining.catch(() => {});
      await untilWaiting(database);
      return { joining };
    });
    await expect(joining).rejects.toMatchObject({ code: "NODE_NAME_IN_USE" });
    expect((await queue.listJoinTokens()).map(({ usesLeft }) => usesLeft).sort()).toEqual([0, 1]);
  });
});

describe("a node that is removed at the moment of a claim", () => {
  test("is refused as busy when the claim comes first", async ({ database, queue, forge }) => {
    await queue.enqueue([makeJob({ host: "forge" })]);
    const { epoch } = await sayHello(forge.queue, "forge");
    const { removing } = await database.sql.begin(async (sql) => {
      await callAs(sql, forge.text);
      await sql`select public.loom_exchange('forge', ${epoch}, 1, 1)`;
      const removing = queue.removeNode("forge");
      removing.catch(() => {});
      await untilWaiting(database);
      return { removing };
    });
    await expect(removing).rejects.toMatchObject({ code: "NODE_BUSY" });
    expect(only(await queue.listNodes())).toMatchObject({ online: true, running: 1 });
  });

  test("is unknown to a claim that comes second, and its offers go to other nodes", async ({
    database,
    queue,
    forge,
  }) => {
    const { id } = only(await queue.enqueue([makeJob()]));
    const session = await sayHello(forge.queue, "forge");
    await offerAll(queue, "forge");
    const { claiming } = await database.sql.begin(async (sql) => {
      await sql`select public.loom_remove_node('forge')`;
      const claiming = claim(forge.queue, session);
      claiming.catch(() => {});
      await untilWaiting(database);
      return { claiming };
    });
    await expect(claiming).rejects.toMatchObject(REFUSED);
    expect(await queue.getJob(id)).toMatchObject({ state: "waiting", ranOn: null });
  });
});

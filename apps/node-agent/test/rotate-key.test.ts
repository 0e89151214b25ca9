import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { openQueue } from "@loom/program";
import { type Queue, QueueAccessError } from "@loom/queue";
import { databaseTest, grantNodeKey, type QueueFixtures } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { rotateKey } from "../src/rotate-key.ts";
import { openSite, startForge, startVisit } from "./forge.ts";
import { runAgent, stateDir } from "./program.ts";

const test = databaseTest;

type Database = Pick<QueueFixtures["database"], "url" | "anonKey" | "sql">;

/** A state folder as joining leaves it, and settings that name no key. */
async function joinedForge(database: Database) {
  const folder = stateDir();
  const key = await grantNodeKey(database, "forge");
  const joined = {
    node: "forge",
    hub: { id: "a-hub", url: database.url },
    database: { url: database.url, publishableKey: database.anonKey },
    codeKey: null,
  };
  writeFileSync(path.join(folder, "hub.json"), JSON.stringify(joined), { mode: 0o600 });
  writeFileSync(path.join(folder, "node-key"), `${key}\n`, { mode: 0o600 });
  const nothing = { SUPABASE_URL: "", SUPABASE_PUBLISHABLE_KEY: "", LOOM_NODE_KEY: "" };
  return { folder, key, env: { ...nothing, LOOM_STATE_DIR: folder } };
}

const keyIn = (folder: string) => readFileSync(path.join(folder, "node-key"), "utf8").trim();

const validKeys = async (queue: Queue) =>
  (await queue.listNodeKeys("forge")).filter(({ valid }) => valid);

const queueWith = (database: Database, nodeKey: string) =>
  openQueue({ url: database.url, key: database.anonKey, nodeKey });

describe("loom-agent rotate-key", () => {
  test("changes the key of a running agent again and again, and its step goes on", async ({
    database,
    queue,
  }) => {
    const { folder, key, env } = await joinedForge(database);
    await startForge(database, env);
    const site = await openSite();
    const { runId } = await startVisit(queue, site.url);
    const response = await site.visited;
    const keys = [key];
    for (const _ of [1, 2, 3]) {
      const { code, output } = await runAgent({ LOOM_STATE_DIR: folder }, ["rotate-key", "--json"]);
      expect({ code, output }).toMatchObject({ code: 0 });
      const [valid, ...others] = await validKeys(queue);
      expect(others).toEqual([]);
      expect(JSON.parse(output)).toEqual({
        schema: "loom.agent-rotate-key/v1",
        node: "forge",
        keyId: valid?.id,
      });
      keys.push(keyIn(folder));
    }
    expect(new Set(keys).size).toBe(4);
    expect(statSync(path.join(folder, "node-key")).mode & 0o777).toBe(0o600);
    expect(existsSync(path.join(folder, "node-key.old"))).toBe(false);
    response.end("welcome");
    await expect.poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
    expect((await queue.getRun(runId)).jobs).toMatchObject([{ attempt: 1, crashRestarts: 0 }]);
    expect(await queue.verify()).toEqual([]);
  });

  test("changes it where no agent runs, and the next one starts with the new key", async ({
    database,
    queue,
  }) => {
    const { folder, key, env } = await joinedForge(database);
    const { code, output } = await runAgent(env, ["rotate-key"]);
    expect(code).toBe(0);
    expect(output).toMatch(/^changed {4}forge has a new key \(.+\), and the old one is revoked$/);
    expect(keyIn(folder)).not.toBe(key);
    await startForge(database, env);
    await expect
      .poll(async () => (await queue.listNodes()).map(({ name, online }) => ({ name, online })))
      .toEqual([{ name: "forge", online: true }]);
  });

  test("leaves one valid key after it ended anywhere and was run again", async ({
    database,
    queue,
  }) => {
    for (const lostCall of [1, 2, 3]) {
      const { folder } = await joinedForge(database);
      let calls = 0;
      /** Does the call, and loses the answer of one of them. */
      const lossy = async <T>(call: Promise<T>): Promise<T> => {
        const answer = await call;
        calls += 1;
        if (calls === lostCall) throw new Error("the answer was lost");
        return answer;
      };
      const change = {
        ...{ folder, node: "forge" },
        queueWith: (nodeKey: string) => {
          const open = queueWith(database, nodeKey);
          return {
            rotateNodeKey: (node: string, digest: string) =>
              lossy(open.rotateNodeKey(node, digest)),
            revokeOwnKey: (node: string) => lossy(open.revokeOwnKey(node)),
          };
        },
        adopt: () => lossy(Promise.resolve()),
      };
      await expect(rotateKey(change)).rejects.toThrow("the answer was lost");
      // Whatever happened, the key in the folder is one that the database takes.
      await queueWith(database, keyIn(folder)).describeDatabase();
      await rotateKey(change);
      await queueWith(database, keyIn(folder)).describeDatabase();
      expect(await validKeys(queue)).toHaveLength(1);
      await queueWith(database, keyIn(folder)).revokeOwnKey("forge");
      expect(await validKeys(queue)).toEqual([]);
    }
  });

  test("is refused where the key was set by hand, and where this machine joined no hub", async ({
    database,
    queue,
  }) => {
    const { folder } = await joinedForge(database);
    await startForge(database, { LOOM_STATE_DIR: folder });
    const byHand = await runAgent({ LOOM_STATE_DIR: folder }, ["rotate-key"]);
    expect(byHand.code).toBe(5);
    expect(byHand.output).toContain("change LOOM_NODE_KEY, or its file, where you set it");
    expect(await validKeys(queue)).toHaveLength(2);
    expect((await runAgent({}, ["rotate-key"])).code).toBe(3);
  });
});

test("a call that was refused for the key of before is repeated with the new one", async ({
  database,
}) => {
  const { key } = await joinedForge(database);
  const next = await grantNodeKey(database, "forge");
  await queueWith(database, key).revokeOwnKey("forge");
  // As it is when the queue is opened, when the call begins, and when it is refused.
  const given = [key, key];
  const queue = openQueue({
    ...{ url: database.url, key: database.anonKey },
    nodeKey: () => given.shift() ?? next,
  });
  await queue.describeDatabase();
  await expect(queueWith(database, key).describeDatabase()).rejects.toThrow(QueueAccessError);
});

import type { JoinRequest, Queue } from "@loom/queue";
import { databaseTest } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { sayHello } from "../src/testing/agent.ts";
import { joinAs, type MadeKey, makeKey } from "../src/testing/hosted/node-key.ts";
import { expireLeases } from "../src/testing/rows.ts";

/** A token for one machine, whatever its name, and a join with it. */
const test = databaseTest
  .extend("token", async ({ queue }): Promise<MadeKey & { id: string }> => {
    const made = makeKey("loomj");
    const { id } = await queue.createJoinToken({ digest: made.digest, createdBy: "ada" });
    return { ...made, id };
  })
  .extend(
    "request",
    ({ token }): JoinRequest => ({
      node: "pi",
      digest: makeKey().digest,
      tokenDigest: token.digest,
      createdBy: "ada",
    }),
  );

const keysOf = async (queue: Queue) => (await queue.listNodeKeys()).map(({ node }) => node);

describe("a join", () => {
  test("gives the machine its name, once for one token", async ({ queue, token, request }) => {
    const joined = await queue.joinNode(request);
    expect(joined).toEqual({ node: "pi", keyId: expect.any(String), returned: "created" });
    expect(await queue.joinNode(request)).toEqual({ ...joined, returned: "existing" });
    expect(await queue.listJoinTokens()).toMatchObject([
      { id: token.id, usesLeft: 0, joined: [{ node: "pi", keyId: joined.keyId }] },
    ]);
    expect(await keysOf(queue)).toEqual(["pi"]);
  });

  test("gets the same answer again when its token has expired", async ({
    queue,
    database,
    token,
    request,
  }) => {
    await queue.joinNode(request);
    await database.sql`update public.loom_join_tokens set expires_at = now() - interval '1 second'`;
    await queue.revokeJoinToken(token.id);
    expect(await queue.joinNode(request)).toMatchObject({ returned: "existing" });
  });

  const sentence = /^[^.\n]{10,160}$/;
  test.for<{
    title: string;
    code: string;
    given?: (fixtures: {
      queue: Queue;
      token: { id: string };
      request: JoinRequest;
      expire: () => Promise<unknown>;
    }) => Promise<unknown>;
    asks?: Partial<JoinRequest>;
    keeps?: string[];
  }>([
    {
      title: "an unknown token",
      code: "JOIN_TOKEN_REFUSED",
      asks: { tokenDigest: makeKey("loomj").digest },
    },
    { title: "an expired token", code: "JOIN_TOKEN_REFUSED", given: ({ expire }) => expire() },
    {
      title: "a revoked token",
      code: "JOIN_TOKEN_REFUSED",
      given: ({ queue, token }) => queue.revokeJoinToken(token.id),
    },
    {
      title: "a used token",
      code: "JOIN_TOKEN_REFUSED",
      given: ({ queue, request }) =>
        queue.joinNode({ ...request, node: "tower", digest: makeKey().digest }),
      keeps: ["tower"],
    },
    {
      title: "a token that is replayed with another key",
      code: "JOIN_TOKEN_REFUSED",
      given: ({ queue, request }) => queue.joinNode({ ...request, digest: makeKey().digest }),
      keeps: ["pi"],
    },
    {
      title: "a token that is replayed with the same key and another name",
      code: "NODE_KEY_USED",
      given: ({ queue, request }) => queue.joinNode({ ...request, node: "tower" }),
      keeps: ["tower"],
    },
    {
      title: "a key that was revoked",
      code: "NODE_KEY_USED",
      given: async ({ queue, request }) => {
        const { keyId } = await queue.joinNode(request);
        await queue.revokeNodeKey(keyId);
      },
      keeps: ["pi"],
    },
    { title: "a name that is none", code: "INVALID_ARGUMENT", asks: { node: "Not A Name" } },
    { title: "a digest that is none", code: "INVALID_ARGUMENT", asks: { digest: "abc" } },
    {
      title: "neither a token nor a machine of the tailnet",
      code: "INVALID_ARGUMENT",
      asks: { tokenDigest: undefined },
    },
    {
      title: "an offer of being somebody",
      code: "INVALID_ARGUMENT",
      asks: { mayOffer: ["loom-hub"] },
    },
  ])(
    "with $title is refused, and leaves nothing behind",
    async ({ code, given, asks, keeps = [] }, { queue, database, token, request }) => {
      const expire = async () => {
        await database.sql`update public.loom_join_tokens set expires_at = now() - interval '1 second'`;
      };
      await given?.({ queue, token, request, expire });
      const before = await queue.listJoinTokens();
      await expect(queue.joinNode({ ...request, ...asks })).rejects.toMatchObject({
        code,
        reason: expect.stringMatching(sentence),
        hint: expect.stringMatching(sentence),
      });
      expect(await keysOf(queue)).toEqual(keeps);
      expect(await queue.listJoinTokens()).toEqual(before);
      expect(await queue.listNodes()).toEqual([]);
    },
  );

  test("with a token for another name is refused, and the token stays good", async ({ queue }) => {
    const { digest } = makeKey("loomj");
    await queue.createJoinToken({ digest, createdBy: "ada", node: "tower" });
    const request = { digest: makeKey().digest, tokenDigest: digest, createdBy: "ada" };
    await expect(queue.joinNode({ ...request, node: "pi" })).rejects.toMatchObject({
      code: "JOIN_TOKEN_WRONG_NODE",
    });
    expect(await queue.joinNode({ ...request, node: "tower" })).toMatchObject({ node: "tower" });
  });
});

describe("a node's name", () => {
  test("stays with the machine whose key is valid, however long that is offline", async ({
    queue,
    database,
    request,
  }) => {
    const first = await joinAs("pi", { queue, database });
    await sayHello(first.queue, "pi");
    await expireLeases(database);
    await expect(queue.joinNode(request)).rejects.toMatchObject({
      code: "NODE_NAME_IN_USE",
      hint: expect.stringContaining("LOOM_NODE_NAME"),
    });
    await queue.revokeNodeKey(first.keyId);
    expect(await queue.joinNode(request)).toMatchObject({ returned: "created" });
  });

  test("stays with an agent that has the service key, while its lease is valid", async ({
    queue,
    database,
    request,
  }) => {
    await sayHello(queue, "pi");
    await expect(queue.joinNode(request)).rejects.toMatchObject({ code: "NODE_NAME_IN_USE" });
    await expireLeases(database);
    expect(await queue.joinNode(request)).toMatchObject({ returned: "created" });
  });

  test("goes to the machine with the same id in the tailnet, whose keys are replaced", async ({
    queue,
    database,
  }) => {
    const ask = { node: "pi", tailnetId: "nPI", createdBy: "tailnet ada", mayOffer: ["has-nas"] };
    const digest = makeKey().digest;
    const first = await queue.joinNode({ ...ask, digest });
    expect(await queue.joinNode({ ...ask, digest })).toEqual({ ...first, returned: "existing" });
    await sayHello(queue, "pi");
    await expireLeases(database);
    await queue.joinNode({ ...ask, digest: makeKey().digest });
    expect(await queue.listNodeKeys("pi")).toMatchObject([
      { valid: true, mayOffer: ["has-nas"], tailnetId: "nPI" },
      { valid: false, id: first.keyId },
    ]);
    await expect(
      queue.joinNode({ ...ask, tailnetId: "nOTHER", digest: makeKey().digest }),
    ).rejects.toMatchObject({ code: "NODE_NAME_IN_USE" });
  });
});

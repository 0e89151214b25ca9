import { createHash } from "node:crypto";
import { describe, expect } from "vitest";
import type { NewApiToken } from "../../../access/tokens.ts";
import type { QueueTest } from "../../queue-test.ts";

const digestOf = (token: string): string => createHash("sha256").update(token).digest("hex");

const makeToken = (name: string, options: Partial<NewApiToken> = {}): NewApiToken => ({
  name,
  digest: digestOf(name),
  scopes: ["read"],
  ...options,
});

export function apiTokensContract(test: QueueTest): void {
  describe("a token of the API", () => {
    test("is found by its digest, and by nothing else", async ({ queue }) => {
      const made = await queue.createToken(
        makeToken("ci", { scopes: ["read", "run"], createdBy: "ada" }),
      );
      expect(made).toMatchObject({
        name: "ci",
        scopes: ["read", "run"],
        isSession: false,
        createdBy: "ada",
        expiresAt: null,
        lastUsedAt: null,
        revokedAt: null,
      });
      expect(await queue.findToken(digestOf("ci"))).toMatchObject({
        id: made.id,
        scopes: ["read", "run"],
      });
      expect(await queue.findToken(digestOf("cj"))).toBeNull();
      expect(await queue.listTokens()).toMatchObject([{ id: made.id }]);
    });

    test("grants nothing after it has expired or was revoked", async ({ queue, database }) => {
      const { id } = await queue.createToken(makeToken("gone"));
      await queue.createToken(makeToken("short", { lifetimeMs: 60_000 }));
      expect(await queue.findToken(digestOf("short"))).toMatchObject({ name: "short" });
      await database.sql`update public.loom_tokens set expires_at = now() - interval '1 second' where name = 'short'`;
      expect(await queue.findToken(digestOf("short"))).toBeNull();

      const revoked = await queue.revokeToken(id);
      expect(revoked?.revokedAt).toBeInstanceOf(Date);
      expect(await queue.findToken(digestOf("gone"))).toBeNull();
      expect(await queue.revokeToken(id)).toEqual(revoked);
      expect(await queue.listTokens()).toHaveLength(2);
    });

    test("has a name that no other valid token has", async ({ queue }) => {
      const { id } = await queue.createToken(makeToken("ci"));
      const again = makeToken("ci", { digest: digestOf("other") });
      await expect(queue.createToken(again)).rejects.toMatchObject({ code: "TOKEN_NAME_TAKEN" });
      await queue.revokeToken(id);
      expect(await queue.createToken(again)).toMatchObject({ name: "ci" });
    });

    test("stores its last use, at most once a minute", async ({ queue, database }) => {
      await queue.createToken(makeToken("ci"));
      const use = async () => {
        await queue.findToken(digestOf("ci"));
        return (await queue.listTokens())[0]?.lastUsedAt;
      };
      const first = await use();
      expect(first).toBeInstanceOf(Date);
      expect(await use()).toEqual(first);
      await database.sql`update public.loom_tokens set last_used_at = now() - interval '61 seconds'`;
      expect((await use())?.getTime()).toBeGreaterThanOrEqual(first?.getTime() ?? Number.NaN);
    });

    test("ends its sessions when it is revoked", async ({ queue }) => {
      const { id } = await queue.createToken(makeToken("ada"));
      const session = makeToken("ada", {
        digest: digestOf("s"),
        lifetimeMs: 60_000,
        session: { parent: id },
      });
      expect(await queue.createToken(session)).toMatchObject({ isSession: true });
      expect(await queue.findToken(digestOf("s"))).toMatchObject({ isSession: true });
      expect(await queue.listTokens()).toHaveLength(1);
      await queue.revokeToken(id);
      expect(await queue.findToken(digestOf("s"))).toBeNull();
    });

    test("ends all sessions of a chain that begins with it, and lists none of them", async ({
      queue,
    }) => {
      const { id } = await queue.createToken(makeToken("ada", { lifetimeMs: 60_000 }));
      let parent = id;
      for (const name of ["first", "second", "third"]) {
        const session = { name, session: { parent }, lifetimeMs: 600_000 };
        const opened = await queue.createToken(makeToken(name, session));
        expect(opened).toMatchObject({ root: "ada", bootstrap: null });
        // A session never outlives the token that it was opened with.
        expect(opened.expiresAt?.getTime()).toBeLessThan(opened.createdAt.getTime() + 61_000);
        parent = opened.id;
      }
      const names = async () => (await queue.listSessions()).map(({ name }) => name);
      expect(await names()).toEqual(["third", "second", "first"]);
      expect(await queue.findToken(digestOf("third"))).toMatchObject({ root: "ada" });

      const [, second] = await queue.listSessions();
      await queue.revokeToken(second?.id ?? "");
      expect(await names()).toEqual(["first"]);
      expect(await queue.findToken(digestOf("third"))).toBeNull();
      expect(await queue.findToken(digestOf("first"))).toMatchObject({ name: "first" });
      await queue.revokeToken(id);
      expect(await names()).toEqual([]);
      expect(await queue.findToken(digestOf("first"))).toBeNull();
    });

    test("is recognised by its fingerprint, through the chain, when it comes from a hub's environment", async ({
      queue,
    }) => {
      const bootstrap = digestOf("environment");
      const first = await queue.createToken(makeToken("first", { session: { bootstrap } }));
      await queue.createToken(makeToken("second", { session: { parent: first.id } }));
      expect(await queue.findToken(digestOf("second"))).toMatchObject({ root: null, bootstrap });
    });

    test("opens no endless chain of sessions", async ({ queue }) => {
      let { id } = await queue.createToken(makeToken("ada"));
      for (let n = 0; n < 8; n += 1) {
        ({ id } = await queue.createToken(makeToken(`s${n}`, { session: { parent: id } })));
      }
      const one = makeToken("more", { session: { parent: id } });
      await expect(queue.createToken(one)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    });

    test.for([
      { title: "no scope", token: makeToken("a", { scopes: [] }) },
      { title: "another scope", token: makeToken("a", { scopes: ["root" as "read"] }) },
      { title: "no name", token: makeToken("") },
      { title: "a token in place of its digest", token: makeToken("a", { digest: "loom_abc" }) },
      { title: "a life of nothing", token: makeToken("a", { lifetimeMs: 0 }) },
    ])("is refused with $title", async ({ token }, { queue }) => {
      await expect(queue.createToken(token)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await queue.listTokens()).toEqual([]);
    });

    test("cannot be revoked if it does not exist", async ({ queue }) => {
      expect(await queue.revokeToken("nope")).toBeNull();
      expect(await queue.revokeToken("00000000-0000-0000-0000-000000000000")).toBeNull();
    });
  });
}

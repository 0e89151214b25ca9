import { createHash } from "node:crypto";
import { describe, expect } from "vitest";
import type { NewApiToken } from "../../api-token.ts";
import type { QueueTest } from "../queue-test.ts";

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

    test("is good for nothing once it is expired or revoked", async ({ queue, database }) => {
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

    test("shares its name with no other that is good", async ({ queue }) => {
      const { id } = await queue.createToken(makeToken("ci"));
      const again = makeToken("ci", { digest: digestOf("other") });
      await expect(queue.createToken(again)).rejects.toMatchObject({ code: "TOKEN_NAME_TAKEN" });
      await queue.revokeToken(id);
      expect(await queue.createToken(again)).toMatchObject({ name: "ci" });
    });

    test("writes when it was used, once a minute at most", async ({ queue, database }) => {
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

    test("takes the sessions that it opened with it", async ({ queue }) => {
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

    test("that is not there cannot be revoked", async ({ queue }) => {
      expect(await queue.revokeToken("nope")).toBeNull();
      expect(await queue.revokeToken("00000000-0000-0000-0000-000000000000")).toBeNull();
    });
  });
}

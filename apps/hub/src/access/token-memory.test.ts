import type { ApiToken } from "@loom/queue";
import { describe, expect, test } from "vitest";
import { createTokenMemory } from "./token-memory.ts";

function memory(answers: () => Partial<ApiToken> | null = () => ({ expiresAt: null })) {
  let at = 0;
  const asked: string[] = [];
  const tokens = createTokenMemory(
    async (digest) => {
      asked.push(digest);
      return answers() as ApiToken | null;
    },
    () => at,
  );
  return {
    tokens,
    asked,
    pass(ms: number) {
      at += ms;
    },
  };
}

describe("a memory of tokens", () => {
  test("asks once in a while, also for what is not there", async () => {
    const { tokens, asked, pass } = memory(() => null);
    for (let n = 0; n < 3; n += 1) expect(await tokens.find("a")).toBeNull();
    pass(10_000);
    await tokens.find("a");
    expect(asked).toEqual(["a", "a"]);
  });

  test("forgets when it is told to", async () => {
    const { tokens, asked } = memory();
    await tokens.find("a");
    tokens.clear();
    await tokens.find("a");
    expect(asked).toEqual(["a", "a"]);
  });

  test("lets nobody in with what expired while it was remembered", async () => {
    const { tokens } = memory(() => ({ expiresAt: new Date(0) }));
    expect(await tokens.find("a")).toBeNull();
  });

  test("does not remember that it could not ask", async () => {
    let isAway = true;
    const { tokens } = memory(() => {
      if (isAway) throw new Error("away");
      return { expiresAt: null };
    });
    await expect(tokens.find("a")).rejects.toThrow("away");
    isAway = false;
    expect(await tokens.find("a")).toEqual({ expiresAt: null });
  });

  test("is bounded, whatever strangers send", async () => {
    const { tokens, asked } = memory(() => null);
    for (let n = 0; n < 1_001; n += 1) await tokens.find(String(n));
    await tokens.find("0");
    await tokens.find("1000");
    expect(asked.slice(1_001)).toEqual(["0"]);
  });
});

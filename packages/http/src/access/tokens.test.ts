import type { ApiToken } from "@loom/queue";
import { describe, expect, test } from "vitest";
import { createTokenMemory } from "./tokens.ts";

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

  test("forgets when it is asked to", async () => {
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

  test("asks leave before it looks up what was not good a moment ago, and only then", async () => {
    let isGood = false;
    const { tokens, asked, pass } = memory(() => (isGood ? { expiresAt: null } : null));
    const refuse = () => {
      throw new Error("too many");
    };
    await expect(tokens.find("a", refuse)).rejects.toThrow("too many");
    expect(asked).toEqual([]);
    isGood = true;
    expect(await tokens.find("a")).toEqual({ expiresAt: null });
    pass(10_000);
    // A caller with a known token gets through, however many wrong tokens come from the same address.
    expect(await tokens.find("a", refuse)).toEqual({ expiresAt: null });
    isGood = false;
    pass(10_000);
    expect(await tokens.find("a", refuse)).toBeNull();
    pass(10_000);
    await expect(tokens.find("a", refuse)).rejects.toThrow("too many");
    expect(asked).toEqual(["a", "a", "a"]);
  });

  test("evicts no valid token for invalid ones, whatever strangers send", async () => {
    const asked: string[] = [];
    const tokens = createTokenMemory(async (digest) => {
      asked.push(digest);
      return digest === "good" ? ({ expiresAt: null } as ApiToken) : null;
    });
    await tokens.find("good");
    for (let n = 0; n < 2_000; n += 1) await tokens.find(String(n));
    await tokens.find("good");
    expect(asked.filter((digest) => digest === "good")).toHaveLength(1);
  });

  test("is bounded, whatever strangers send", async () => {
    const { tokens, asked } = memory(() => null);
    for (let n = 0; n < 1_001; n += 1) await tokens.find(String(n));
    await tokens.find("0");
    await tokens.find("1000");
    expect(asked.slice(1_001)).toEqual(["0"]);
  });
});

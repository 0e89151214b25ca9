import { describe, expect, test, vi } from "vitest";
import { keepLatest } from "./latest.ts";

/** A store that a test answers. */
function controlled() {
  const calls: (PromiseWithResolvers<void> & { json: string })[] = [];
  return {
    calls,
    store(json: string) {
      const call = { json, ...Promise.withResolvers<void>() };
      calls.push(call);
      return call.promise;
    },
  };
}

describe("keepLatest", () => {
  test("stores the first at once, and then the latest of those that came meanwhile", async () => {
    const { calls, store } = controlled();
    const latest = keepLatest(store, { everyMs: 0 });
    const saves = ["a", "b", "c"].map((json) => latest.save(json));
    expect(calls.map(({ json }) => json)).toEqual(["a"]);
    calls[0]?.resolve();
    await saves[0];
    await vi.waitFor(() => expect(calls.map(({ json }) => json)).toEqual(["a", "c"]));
    calls[1]?.resolve();
    // Both: the value that took its place is stored.
    await Promise.all(saves);
  });

  test("waits between two calls, unless it ends", async () => {
    const stored: string[] = [];
    const latest = keepLatest(async (json) => void stored.push(json), { everyMs: 3_600_000 });
    await latest.save("a");
    void latest.save("b");
    void latest.save("c");
    expect(stored).toEqual(["a"]);
    await latest.end();
    expect(stored).toEqual(["a", "c"]);
  });

  test("gives back what waits", async () => {
    const stored: string[] = [];
    const latest = keepLatest(async (json) => void stored.push(json), { everyMs: 3_600_000 });
    await latest.save("a");
    const second = latest.save("b");
    expect(latest.take()).toBe("b");
    await second;
    await latest.end();
    expect(latest.take()).toBeUndefined();
    expect(stored).toEqual(["a"]);
  });

  test("fails what waits, and what comes later, in the same way", async () => {
    const { calls, store } = controlled();
    const latest = keepLatest(store, { everyMs: 0 });
    const saves = [latest.save("a"), latest.save("b")];
    calls[0]?.reject(new Error("refused"));
    for (const save of [...saves, latest.save("c")]) await expect(save).rejects.toThrow("refused");
    await latest.end();
    expect(calls).toHaveLength(1);
  });
});

import { once } from "node:events";
import { get } from "node:http";
import { pino } from "pino";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { serve } from "../src/listen/serve.ts";

const log = pino({ level: "silent" });

describe("serve", () => {
  test("closes the connection of an answer that never comes", async () => {
    const asked = Promise.withResolvers<void>();
    const server = await serve(
      () => {
        asked.resolve();
        return new Promise(() => {});
      },
      { bind: "127.0.0.1", port: 0, log },
    );
    const client = get(server.url);
    const hungUp = once(client, "error");
    await asked.promise;

    vi.useFakeTimers({ toFake: ["setTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const closed = server.close();
    vi.advanceTimersByTime(5_000);
    await closed;
    expect(await hungUp).toMatchObject([{ code: "ECONNRESET" }]);
  });

  test("answers what it was asked before it was closed, and lets nobody in after", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<Response>();
    const server = await serve(
      () => {
        asked.resolve();
        return answer.promise;
      },
      { bind: "127.0.0.1", port: 0, log },
    );
    const early = fetch(server.url);
    await asked.promise;
    const closed = server.close();
    await expect(fetch(server.url)).rejects.toThrow();
    answer.resolve(new Response("late"));
    expect(await (await early).text()).toBe("late");
    const answeredAt = performance.now();
    await closed;
    // The client would have kept its connection for 3 s or more.
    expect(performance.now() - answeredAt).toBeLessThan(2_000);
  });

  test("answers with a problem what an application throws that is no error", async () => {
    const server = await serve(() => Promise.reject("text"), { bind: "127.0.0.1", port: 0, log });
    const answer = await fetch(server.url);
    expect(answer.status).toBe(500);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await answer.json()).toMatchObject({ code: "INTERNAL" });
    await server.close();
  });
});

import { timingSafeEqual } from "node:crypto";
import { Hono } from "hono";
import { describe, expect, test, vi } from "vitest";
import { authorize } from "./authorize.ts";

// Spied on, not replaced: that it is asked at all is what keeps the comparison constant in time.
vi.mock("node:crypto", { spy: true });

const TOKEN = "correct-horse-battery";

/** The status that a request with these headers gets from an app behind `authorize`. */
async function ask(token: string | undefined, headers: Record<string, string>): Promise<number> {
  const app = new Hono().use(authorize(token)).get("/", (c) => c.text("in"));
  return (await app.request("/", { headers })).status;
}

describe("authorize with a token", () => {
  test.for([`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER  ${TOKEN}`])(
    "lets in %j",
    async (authorization) => {
      expect(await ask(TOKEN, { authorization })).toBe(200);
    },
  );

  test.for([
    "",
    "Bearer",
    "Bearer ",
    TOKEN,
    `Basic ${TOKEN}`,
    `Basic ${btoa(`loom:${TOKEN}`)}`,
    `Bearer ${TOKEN} ${TOKEN}`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.toUpperCase()}`,
    "Bearer undefined",
    `XBearer ${TOKEN}`,
  ])("refuses %j", async (authorization) => {
    expect(await ask(TOKEN, { authorization })).toBe(401);
  });

  test("refuses a request from loopback that brings no token", async () => {
    expect(await ask(TOKEN, { host: "localhost:3000" })).toBe(401);
  });

  test.for(["x", TOKEN.slice(0, -1), `${TOKEN}${TOKEN}`])(
    "compares %j in constant time, whatever its length",
    async (given) => {
      vi.mocked(timingSafeEqual).mockClear();
      await ask(TOKEN, { authorization: `Bearer ${given}` });
      const [[one, two] = []] = vi.mocked(timingSafeEqual).mock.calls;
      expect([one?.byteLength, two?.byteLength]).toEqual([32, 32]);
    },
  );
});

describe("authorize without a token", () => {
  test.for([
    { host: "localhost" },
    { host: "localhost:3000" },
    { host: "LocalHost:3000" },
    { host: "127.0.0.1:3000" },
    { host: "127.8.0.1:3000" },
    { host: "[::1]:3000" },
    { host: "localhost:3000", origin: "http://localhost:3000", "sec-fetch-site": "same-origin" },
    { host: "localhost:3000", "sec-fetch-site": "none" },
  ])("lets in %j", async (headers) => {
    expect(await ask(undefined, headers)).toBe(200);
  });

  test.for([
    { host: "" },
    { host: "loom.example:3000" },
    { host: "127.0.0.1.loom.example" },
    { host: "localhost.loom.example:3000" },
    { host: "192.168.1.2:3000" },
    { host: "0.0.0.0:3000" },
    { host: "localhost:3000", origin: "http://loom.example" },
    { host: "localhost:3000", origin: "http://localhost:8080" },
    { host: "localhost:3000", origin: "null" },
    { host: "localhost:3000", "sec-fetch-site": "cross-site" },
    { host: "localhost:3000", "sec-fetch-site": "same-site" },
  ])("refuses %j", async (headers) => {
    expect(await ask(undefined, headers)).toBe(403);
  });
});

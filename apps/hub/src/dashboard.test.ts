import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serveDashboard } from "./dashboard.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-dashboard-"));
  mkdirSync(path.join(folder, "assets"));
  writeFileSync(path.join(folder, "index.html"), "<title>Loom</title>");
  writeFileSync(path.join(folder, "assets/main-1a2b.js"), "console.log(1)");
  writeFileSync(path.join(folder, "secret.key"), "not a file of the page");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ask = (address: string, headers: Record<string, string> = {}, method = "GET") => {
  const app = new Hono();
  app.use(serveDashboard(folder));
  app.get("/docs", (c) => c.text("the reference"));
  return app.request(address, { method, headers });
};
const person = { accept: "text/html,application/xhtml+xml" };

test("serves the page with a policy that lets nothing in but its own files", async () => {
  const answer = await ask("/");
  expect(await answer.text()).toBe("<title>Loom</title>");
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(answer.headers.get("content-security-policy")).toMatch(
    /^default-src 'none'; script-src 'self';/,
  );
  expect(answer.headers.get("content-security-policy")).not.toContain("unsafe");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
});

test("a page is asked for again each time, a file whose name holds its hash never", async () => {
  expect((await ask("/")).headers.get("cache-control")).toBe("no-cache");
  expect((await ask("/assets/main-1a2b.js")).headers.get("cache-control")).toContain("immutable");
  const etag = (await ask("/")).headers.get("etag") ?? "";
  expect((await ask("/", { "if-none-match": etag })).status).toBe(304);
});

test("sends less to whoever can unpack it", async () => {
  const answer = await ask("/assets/main-1a2b.js", { "accept-encoding": "gzip, br" });
  expect(answer.headers.get("content-encoding")).toBe("gzip");
  expect(gunzipSync(Buffer.from(await answer.arrayBuffer())).toString()).toBe("console.log(1)");
});

test("a person who opens an address within the page gets it, a program gets its 404", async () => {
  expect(await (await ask("/runs/1f", person)).text()).toBe("<title>Loom</title>");
  expect((await ask("/runs/1f", { accept: "*/*" })).status).toBe(404);
  expect((await ask("/api/loom/nothing", person)).status).toBe(404);
  expect((await ask("/runs/1f", person, "POST")).status).toBe(404);
  expect(await (await ask("/docs", person)).text()).toBe("the reference");
});

test("gives out only what a page is made of", async () => {
  expect((await ask("/secret.key")).status).toBe(404);
  expect((await ask("/../package.json")).status).toBe(404);
});

test("says how to get the page where it is not built", async () => {
  const app = new Hono();
  app.use(serveDashboard(path.join(folder, "missing")));
  expect(await (await app.request("/")).text()).toContain("npm run build");
});

test.for<[string | undefined, boolean]>([
  [undefined, false],
  ["", false],
  ["gzip", true],
  ["br, GZIP", true],
  ["gzip;q=0", false],
  ["gzip; q=0.000, br", false],
  ["gzip;q=0.1", true],
  ["br;q=1, *;q=0.5", true],
  ["*;q=0", false],
  ["gzip;q=0, *", false],
  ["identity", false],
  ["gzipped", false],
  ["gzip;q=often", false],
])("of %j, gzip is allowed: %s", async ([header, allowed]) => {
  const answer = await ask("/", header === undefined ? {} : { "accept-encoding": header });
  expect(answer.headers.get("content-encoding")).toBe(allowed ? "gzip" : null);
});

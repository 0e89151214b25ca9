import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { TOKEN, test } from "./fixtures.ts";

const REQUESTS = 300;

/** Mulberry32: numbers from 0 to 1 that follow from the seed. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const METHODS = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO"];
const SEGMENTS = [
  "api",
  "loom",
  "strands",
  "runs",
  "nodes",
  "train",
  "hello",
  "run",
  "healthz",
  "readyz",
  "openapi.json",
  "00000000-0000-0000-0000-000000000000",
  "..",
  "%2e%2e",
  "%",
  "%zz",
  "%00",
  "%2F",
  "%E0%A4%A",
  "%F0%9F%98%80",
  "a b",
  "x".repeat(3_000),
  "__proto__",
  "constructor",
  "*",
  ":id",
  "{id}",
  "'--",
  "",
];
const PATHS = [
  "/api/loom/strands/hello/run",
  "/api/loom/strands/trian/run",
  "/api/loom/runs/7",
  "/api/loom/nodes",
];
const TYPES = [
  "application/json; charset=utf-8",
  "application/json;",
  "application/jsonp",
  "application/problem+json",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
  "text/plain",
  ";",
  "",
];
const AUTHORIZATIONS = [
  `bearer ${TOKEN}`,
  `Basic ${btoa(TOKEN)}`,
  `Bearer ${TOKEN}x`,
  "Bearer",
  TOKEN,
  "",
];
const BODIES = [
  "",
  "{",
  "null",
  "[]",
  "7",
  '"text"',
  "{}",
  '{"input":{}}',
  '{"input":null}',
  '{"input":{"host":7}}',
  '{"input":{"host":"two words"}}',
  '{"input":{"host":"anvil"}}',
  '{"input":{"host":""}}',
  '{"input":{"notes":"\\u0000 \\ud800"}}',
  '{"input":[1,2]}',
  '{"input":{"__proto__":{"host":7}}}',
  '{"__proto__":{"key":"k"}}',
  '{"constructor":1}',
  '{"key":"k"}',
  '{"key":"k","input":{}}',
  '{"key":""}',
  '{"key":"\\u0000"}',
  '{"key":"\\ud800"}',
  '{"key":["k"]}',
  '{"key":"k","key":7}',
  `{"input":{"notes":"${"x".repeat(300_000)}"}}`,
  `{"input":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
  "x".repeat(1_100_000),
  "\u0000",
  "\ufeff{}",
];

// Each request is a good one of which some parts are replaced.
test(`${REQUESTS} requests, most of them nonsense, cause no fault and store only what got a 202`, async ({
  app,
  countRows,
}) => {
  const seed = Number(process.env.LOOM_FUZZ_SEED ?? randomBytes(4).readUInt32LE());
  console.log(`fuzz: LOOM_FUZZ_SEED=${seed}`);
  const random = createRandom(seed);
  const pick = <Item>(items: readonly Item[]): Item =>
    items[Math.floor(random() * items.length)] as Item;

  const orWorse = <Item>(good: Item, worse: readonly Item[]): Item =>
    random() < 0.65 ? good : pick(worse);
  const nonsense = () =>
    `/${Array.from({ length: Math.ceil(random() * 6) }, () => pick(SEGMENTS)).join("/")}`;

  const stored = new Set<unknown>();
  let refused = 0;
  for (let index = 0; index < REQUESTS; index += 1) {
    const method = orWorse("POST", METHODS);
    const path = orWorse("/api/loom/strands/train/run", [
      ...PATHS,
      nonsense(),
      nonsense(),
      nonsense(),
    ]);
    const type = orWorse("application/json", TYPES);
    const authorization = orWorse(`Bearer ${TOKEN}`, AUTHORIZATIONS);
    const body = orWorse('{"input":{}}', BODIES);
    const what = `request ${index} of seed ${seed}: ${method} ${path.slice(0, 100)} ${type} ${body.slice(0, 60)}`;
    const answer = await app.request(`http://localhost${path}`, {
      method,
      headers: {
        authorization,
        ...(random() < 0.9 && { "content-type": type }),
        ...(random() < 0.2 && { "x-request-id": pick(SEGMENTS) }),
      },
      ...(method !== "GET" && method !== "HEAD" && random() < 0.9 && { body }),
    });
    expect(answer.status, what).toBeLessThan(500);
    if (answer.status === 202) stored.add(((await answer.json()) as { runId: string }).runId);
    if (answer.status >= 400) {
      refused += 1;
      expect(answer.headers.get("content-type"), what).toBe("application/problem+json");
      if (method !== "HEAD") {
        expect(await answer.json(), what).toMatchObject({
          status: answer.status,
          code: expect.stringMatching(/^[A-Z][A-Z_]+$/),
        });
      }
    }
  }
  expect(await countRows()).toMatchObject({ runs: stored.size });
  // Else the requests were not what they are meant to be.
  expect(stored.size).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(REQUESTS / 2);
});

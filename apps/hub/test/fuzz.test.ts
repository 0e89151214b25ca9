import { randomInt } from "node:crypto";
import fc from "fast-check";
import { expect } from "vitest";
import { sayHello, TOKEN, test } from "./fixtures.ts";
import { type DescribedOperation, type Document, operationsOf, readAnswer } from "./openapi.ts";

const REQUESTS = 20_000;
/** After each batch the rows are counted. */
const BATCH = 250;
/**
 * Requests that are open at once. The connections to the database are few: a request that waits for one for too long gets the answer
 * that the database is away, whatever was asked and by whom, which is right and not what is tested here.
 */
const AT_ONCE = 20;

const NOBODY = "00000000-0000-0000-0000-000000000000";
const SEGMENTS = [
  "train",
  "hello",
  "pinned",
  "forge",
  "1",
  "2",
  "7",
  "999999",
  NOBODY,
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
  "0",
  "-1",
  "1.5",
  "1e9",
  "9007199254740993",
  "NaN",
];
const QUERIES = [
  "",
  "",
  "",
  "?limit=2",
  "?limit=0",
  "?limit=201",
  "?limit=x",
  "?cursor=x",
  "?cursor=",
  "?status=failed",
  "?status=done",
  "?workflow=train&limit=1",
  "?workflow=%00",
  "?state=waiting",
  "?node=forge",
  "?runId=x",
  "?since=2026-01-01T00:00:00Z",
  "?since=yesterday",
  "?until=0001-01-01T00:00:00Z",
  "?offset=1",
  "?offset=-1",
  "?offset=99999999999",
  "?fence=1",
  "?limit=1&limit=2",
  "?__proto__=1",
  "?limit",
  "?%00=%00",
  "?askedBy=%ED%A0%80",
  `?cursor=${btoa('["x",1]')}`,
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
  `Bearer loom_${"A".repeat(43)}`,
];
const INVALID_HEADERS: Record<string, string>[] = [
  { "idempotency-key": "k" },
  { "idempotency-key": "two words" },
  { "idempotency-key": "x".repeat(400) },
  { "last-event-id": "end" },
  { "last-event-id": "1.0" },
  { "last-event-id": "9999999999999999999.9" },
  { "last-event-id": "nonsense" },
  { "last-event-id": "-1.0" },
  { "if-none-match": '"x", W/"y"' },
  { "if-none-match": "*" },
  { cookie: "loom_session=x" },
  { cookie: `loom_session=loom_${"A".repeat(43)}` },
  { origin: "http://evil.example" },
  { "sec-fetch-site": "cross-site" },
  { "x-forwarded-for": "203.0.113.9" },
  { "x-request-id": "%zz" },
  { range: "bytes=0-1" },
];
const METHODS = ["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "OPTIONS", "FOO"];
/** Values that fit some operations, and values that fit none. */
const BODIES = [
  "{}",
  '{"input":{}}',
  '{"input":{"host":"anvil"}}',
  '{"input":{"notes":"\\u0000 \\ud800"}}',
  '{"key":"k"}',
  '{"mode":"all"}',
  '{"mode":"failed"}',
  '{"mode":"from","step":"fit"}',
  '{"note":"because"}',
  '{"note":"\\u0000"}',
  '{"jobs":[{"workflow":"hello","step":"greet"}]}',
  '{"jobs":[{"workflow":"chain","step":"c","key":"c","host":"forge"}]}',
  '{"jobs":[{"workflow":"hello","step":"greet","priority":-1}]}',
  '{"jobs":[{"workflow":"hello","step":"x"}]}',
  '{"jobs":[]}',
  '{"requires":["has-gpu | cpus>=16"],"host":"forge"}',
  '{"requires":["has gpu"]}',
  '{"allowUnsatisfiable":true}',
  '{"name":"ci","scopes":["read"]}',
  '{"name":"ci","scopes":["root"]}',
  '{"name":"\\ud800","scopes":["run"]}',
  "",
  "{",
  "null",
  "[]",
  "7",
  '"text"',
  '{"input":null}',
  '{"input":{"host":7}}',
  '{"input":{"host":"two words"}}',
  '{"input":{"host":""}}',
  '{"input":[1,2]}',
  '{"input":{"__proto__":{"host":7}}}',
  '{"__proto__":{"key":"k"}}',
  '{"constructor":1}',
  '{"key":""}',
  '{"key":"\\u0000"}',
  '{"key":"\\ud800"}',
  '{"key":["k"]}',
  '{"key":"k","key":7}',
  '{"mode":"from"}',
  '{"mode":"half"}',
  `{"note":"${"x".repeat(3_000)}"}`,
  "\u0000",
  "\ufeff{}",
];
/** Rare: what they cost is their size. */
const LARGE = [
  `{"input":{"notes":"${"x".repeat(300_000)}"}}`,
  `{"input":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
  "x".repeat(1_100_000),
];

interface Asked {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

/** Resolving the dots makes this a question, which writes nothing. Few seeds have such a path. */
const THROUGH_DOTS: Asked = {
  method: "POST",
  path: "/api/loom/jobs/../explain",
  headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
  body: '{"requires":["has-gpu"]}',
};

/** A good request of one operation or another, of which some parts are often replaced. */
function requests(
  operations: DescribedOperation[],
  there: Readonly<Record<string, string>>,
): fc.Arbitrary<Asked> {
  const segment = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...SEGMENTS) }, fc.webSegment());
  const orWorse = <Value>(good: Value, worse: fc.Arbitrary<Value>) =>
    fc.oneof({ weight: 5, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: worse });
  const body = fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...BODIES) },
    { weight: 6, arbitrary: fc.json() },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  );
  const rarelyLarge = fc.oneof(
    { weight: 200, arbitrary: body },
    { weight: 1, arbitrary: fc.constantFrom(...LARGE) },
  );
  return fc.constantFrom(...operations).chain((operation) =>
    fc
      .record({
        method: orWorse(operation.method, fc.constantFrom(...METHODS)),
        at: orWorse(there[operation.path.split("/")[3] ?? ""] ?? "", segment),
        elsewhere: orWorse<string[] | undefined>(undefined, fc.array(segment, { maxLength: 5 })),
        query: fc.constantFrom(...QUERIES),
        type: orWorse("application/json", fc.constantFrom(...TYPES)),
        authorization: orWorse(`Bearer ${TOKEN}`, fc.constantFrom(...AUTHORIZATIONS)),
        badHeaders: orWorse<Record<string, string>>({}, fc.constantFrom(...INVALID_HEADERS)),
        body: fc.option(rarelyLarge, { nil: undefined, freq: 3 }),
      })
      .map(({ method, at, elsewhere, query, type, authorization, badHeaders, body: sent }) => ({
        method,
        path: elsewhere
          ? `/api/loom/${elsewhere.join("/")}`
          : operation.path.replace(/\{\w+\}/, at) + (method === "GET" ? query : ""),
        headers: {
          authorization,
          ...(sent !== undefined && { "content-type": type }),
          ...badHeaders,
        },
        body: method === "GET" || method === "HEAD" ? undefined : sent,
      })),
  );
}

test(`${REQUESTS} requests, most of them nonsense, cause no fault, and write only what got a good answer`, {
  timeout: 120_000,
}, async ({ app, call, queue, database }) => {
  const seed = Number(process.env.LOOM_FUZZ_SEED ?? randomInt(2 ** 31));
  console.log(`fuzz: LOOM_FUZZ_SEED=${seed}`);
  const document = (await (await app.request("/openapi.json")).json()) as Document;
  // Something to find: runs, jobs and a node.
  await sayHello(queue, "forge", { capabilities: ["has-gpu"], isHub: true });
  await call("POST", "/strands/train/run");
  const { body: run } = await call("POST", "/strands/hello/run");
  await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet" }] });
  await call("POST", "/jobs/4/cancel");
  const there = {
    strands: "train",
    runs: String(run.runId),
    jobs: "4",
    nodes: "forge",
    tokens: NOBODY,
  };

  /** Everything that a request of the API can add: who did it is written down with all of it. */
  const countRows = async () => {
    const [row] = await database.sql<
      { deeds: number; runs: number; loose: number; tokens: number }[]
    >`
      select (select count(*)::int from public.loom_events where type = 'request.done') as deeds,
             (select count(*)::int from public.loom_runs) as runs,
             (select count(*)::int from public.loom_job_queue where run_id is null) as loose,
             (select count(*)::int from public.loom_tokens)
               + (select count(*)::int from public.loom_join_tokens) as tokens`;
    return row ?? { deeds: 0, runs: 0, loose: 0, tokens: 0 };
  };

  const statuses = new Map<number, number>();
  /** What an answer says that it wrote. */
  async function ask({ method, path, headers, body }: Asked) {
    const what = `${method} ${path.slice(0, 200)} ${JSON.stringify(headers).slice(0, 200)} ${body?.slice(0, 100)}`;
    const raw = await app.request(`http://localhost${path}`, {
      method,
      headers,
      ...(body !== undefined && { body }),
    });
    const answer = await readAnswer(raw);
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    if (answer.status >= 400) {
      expect(answer.status, `${what} ${answer.text}`).toBeLessThan(500);
      expect(answer.type, what).toBe("application/problem+json");
      if (method !== "HEAD") {
        const problem: unknown = JSON.parse(answer.text);
        expect(problem, what).toMatchObject({
          status: answer.status,
          code: expect.stringMatching(/^[A-Z][A-Z_]+$/),
        });
      }
      return { deeds: 0, runs: 0, loose: 0, tokens: 0 };
    }
    const isDeed =
      ["POST", "DELETE"].includes(method) &&
      raw.headers.get("idempotency-replayed") === null &&
      // A question that needs a body. Dots in a path are resolved before the hub sees it.
      !/^\/api\/loom\/explain\b/.test(new URL(path, "http://localhost").pathname) &&
      // There was no session to close.
      !(method === "DELETE" && answer.status === 204);
    const said = isDeed && answer.text !== "" ? JSON.parse(answer.text) : {};
    const isNew = said.returned === "created";
    const added = Array.isArray(said.jobs) ? said.jobs : [];
    const { length: loose } = added.filter(
      ({ returned }: { returned: string }) => returned === "created",
    );
    return {
      deeds: Number(isDeed),
      runs: Number(isNew),
      loose,
      tokens: Number(answer.status === 201),
    };
  }

  const arbitrary = requests(operationsOf(document), there);
  const sample = [THROUGH_DOTS, ...fc.sample(arbitrary, { seed, numRuns: REQUESTS - 1 })];
  for (let begin = 0; begin < REQUESTS; begin += BATCH) {
    const before = await countRows();
    const written: Awaited<ReturnType<typeof ask>>[] = [];
    const left = sample.slice(begin, begin + BATCH).values();
    const askOn = async () => {
      for (const asked of left) written.push(await ask(asked));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, askOn));
    const after = await countRows();
    const sum = (key: keyof typeof before) =>
      before[key] + written.reduce((all, one) => all + one[key], 0);
    // A copy of a failed job is added once, and answered as often as it is asked for.
    expect(after.loose - sum("loose")).toBeGreaterThanOrEqual(0);
    expect(after.loose - sum("loose")).toBeLessThanOrEqual(1);
    expect(after, `after request ${begin + BATCH}`).toEqual({
      deeds: sum("deeds"),
      runs: sum("runs"),
      tokens: sum("tokens"),
      loose: after.loose,
    });
  }
  console.log(
    `fuzz: ${[...statuses]
      .sort(([a], [b]) => a - b)
      .map(([status, count]) => `${count} × ${status}`)
      .join(", ")}`,
  );
  // Else the requests were not what they are meant to be.
  for (const status of [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422]) {
    expect(statuses.get(status) ?? 0, `answers ${status}`).toBeGreaterThan(0);
  }
  expect(await queue.verify()).toEqual([]);
});

import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createRedactor } from "./redact.ts";

const TOKEN = 'hunter2"quoted';
const KEY = "first-line-of-a-key\nsecond-line-of-it";

/** Returns the line that a logger writes for these facts, parsed again. */
function written(facts: object, message = "m"): string {
  let line = "";
  const redact = createRedactor([TOKEN, KEY, undefined, "abc"]);
  const log = pino(
    { base: null, timestamp: false, hooks: { streamWrite: redact } },
    {
      write(text: string) {
        line = text;
      },
    },
  );
  log.info(facts, message);
  // The line is still valid JSON.
  return JSON.stringify(JSON.parse(line));
}

describe("redact", () => {
  test.for([
    { facts: { headers: { Authorization: "opensesame" } }, secret: "opensesame" },
    { facts: { a: { b: { c: { apiKey: "opensesame" } } } }, secret: "opensesame" },
    { facts: { list: [{ db_password: 'open"sesame\\' }] }, secret: "sesame" },
    { facts: { "set-cookie": "loom_session=opensesame" }, secret: "opensesame" },
    { facts: { url: "postgres://loom:opensesame@db.example:5432/x" }, secret: "opensesame" },
    { facts: { note: `sent loom_${"Ab-_9".repeat(8)}xyz along` }, secret: "Ab-_9Ab" },
    { facts: { note: `the key loomn_${"Ab-_9".repeat(8)}xyz` }, secret: "Ab-_9Ab" },
    { facts: { note: `the token loomj_${"Ab-_9".repeat(8)}xyz` }, secret: "Ab-_9Ab" },
    { facts: { note: "Bearer opensesame.and-more" }, secret: "opensesame" },
    { facts: { note: "key eyJhbGciOi.eyJyb2xlIjoi.c2ln" }, secret: "eyJyb2xl" },
    { facts: { note: "sb_secret_opensesame" }, secret: "opensesame" },
    { facts: { note: `it was ${TOKEN}!` }, secret: "hunter2" },
    { facts: { note: "read second-line-of-it" }, secret: "second-line" },
    { facts: { err: new Error(`no: ${TOKEN}`) }, secret: "hunter2" },
  ])("hides the secret in $facts", ({ facts, secret }) => {
    const line = written(facts);
    expect(line).not.toContain(secret);
    expect(line).toContain("[redacted]");
  });

  test("hides a known secret in the message too", () => {
    expect(written({}, `said ${TOKEN}`)).not.toContain("hunter2");
  });

  test.for([
    { title: "quotes that do not end", line: '\\"'.repeat(100_000) },
    { title: "keys without a value", line: `"${"token".repeat(60_000)}"` },
    { title: "many keys", line: `{"a":"b",${'"token":7,'.repeat(30_000)}"x":"y"}` },
    { title: "a word before no address", line: "a".repeat(300_000) },
    { title: "addresses without a password", line: "a://b:".repeat(50_000) },
    { title: "beginnings of web tokens", line: "eyJ-".repeat(80_000) },
    { title: "web tokens without an end", line: "eyJ.".repeat(80_000) },
    { title: "spaces behind bearers", line: `Bearer${" ".repeat(300_000)}`.repeat(2) },
  ])("reads $title in a time that grows with the line", ({ line }) => {
    const redact = createRedactor([TOKEN]);
    const startedAt = performance.now();
    redact(line);
    // Quadratic time would take from ten seconds to minutes.
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test("writes no character that controls a terminal", () => {
    const note = "a\u001b[2Jb\u009b31mc\u202etxt.exe\u2066d\u0085e";
    const redact = createRedactor([]);
    const line = redact(JSON.stringify({ note }));
    expect(line).toMatch(/^[ -~]+$/);
    expect(JSON.parse(line)).toEqual({ note });
  });

  test("leaves everything else as it is, including short secrets", () => {
    const facts = { who: "token ci", path: "/api/loom/tokens", jobId: 7, note: "abc is a word" };
    expect(JSON.parse(written(facts))).toMatchObject({ ...facts, msg: "m" });
  });
});

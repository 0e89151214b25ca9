import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createRedactor } from "./redact.ts";

const TOKEN = 'hunter2"quoted';

/** What a logger writes of these facts, as it is read again. */
function written(facts: object, message = "m"): string {
  let line = "";
  const redact = createRedactor([TOKEN, undefined, "abc"]);
  const log = pino(
    { base: null, timestamp: false, hooks: { streamWrite: redact } },
    {
      write(text: string) {
        line = text;
      },
    },
  );
  log.info(facts, message);
  // Still one line of JSON.
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
    { facts: { note: "Bearer opensesame.and-more" }, secret: "opensesame" },
    { facts: { note: "key eyJhbGciOi.eyJyb2xlIjoi.c2ln" }, secret: "eyJyb2xl" },
    { facts: { note: "sb_secret_opensesame" }, secret: "opensesame" },
    { facts: { note: `it was ${TOKEN}!` }, secret: "hunter2" },
    { facts: { err: new Error(`no: ${TOKEN}`) }, secret: "hunter2" },
  ])("takes the secret out of $facts", ({ facts, secret }) => {
    const line = written(facts);
    expect(line).not.toContain(secret);
    expect(line).toContain("[redacted]");
  });

  test("takes a known secret out of the message too", () => {
    expect(written({}, `said ${TOKEN}`)).not.toContain("hunter2");
  });

  test("leaves the rest as it is, short secrets with it", () => {
    const facts = { who: "token ci", path: "/api/loom/tokens", jobId: 7, note: "abc is a word" };
    expect(JSON.parse(written(facts))).toMatchObject({ ...facts, msg: "m" });
  });
});

import { describe, expect } from "vitest";
import { TOKEN, test } from "./fixtures.ts";

const NOBODY = "00000000-0000-0000-0000-000000000000";

interface Bad {
  title: string;
  path: string;
  /** As it is sent; what has one is a POST. */
  body?: string;
  status: number;
  code: string;
  /** In the problem: what is wrong, and with what. */
  says: string | RegExp;
}

describe("bad input", () => {
  test.for<Bad>([
    {
      title: "a filter that there is not",
      path: "/runs?statuss=failed",
      status: 422,
      code: "INVALID_REQUEST",
      says: /query: has no field \\"statuss\\"; its fields are workflow, status, .* and limit/,
    },
    {
      title: "a filter that is given twice",
      path: "/runs?limit=1&limit=2",
      status: 422,
      code: "INVALID_REQUEST",
      says: "limit: must be given once",
    },
    {
      title: "a filter that a stream does not have",
      path: "/events?runId=7",
      status: 422,
      code: "INVALID_REQUEST",
      says: 'query: has no field \\"runId\\"; its fields are pastMs',
    },
    {
      title: "a number in another notation",
      path: "/jobs?limit=0x10",
      status: 422,
      code: "INVALID_REQUEST",
      says: "limit: must be a whole number written in digits",
    },
    {
      title: "an id that is none",
      path: "/jobs/abc",
      status: 422,
      code: "INVALID_REQUEST",
      says: "id: must be a whole number written in digits",
    },
    {
      title: "an instant that Postgres does not have",
      path: "/runs?since=0000-01-01T00:00:00Z",
      status: 422,
      code: "INVALID_ARGUMENT",
      says: '"detail":"date/time field value out of range',
    },
    {
      title: "a NUL in a filter",
      path: "/jobs?node=%00",
      status: 422,
      code: "INVALID_ARGUMENT",
      says: '"detail":"\\\\u0000 cannot be converted to text."',
    },
    {
      title: "a run that is not there",
      path: `/runs/${NOBODY}`,
      status: 404,
      code: "RUN_NOT_FOUND",
      says: /"hint":"GET \/api\/loom\/runs/,
    },
    {
      title: "a slash too many",
      path: "/runs/",
      status: 404,
      code: "NOT_FOUND",
      says: '"hint":"leave out the slash at the end"',
    },
    {
      title: "no body that is declared as JSON",
      path: "/strands/hello/run",
      body: "",
      status: 400,
      code: "MALFORMED_REQUEST",
      says: '"hint":"send a JSON body, or neither a body nor a content-type"',
    },
    {
      title: "a body that is something else",
      path: "/strands/hello/run",
      body: "[]",
      status: 422,
      code: "INVALID_REQUEST",
      says: /body: must be an object.*"hint":"\/docs#startRun describes the request"/,
    },
    {
      title: "an input that the workflow does not take",
      path: "/strands/train/run",
      body: '{"input":{"notes":7}}',
      status: 422,
      code: "INVALID_INPUT",
      says: /"hint":"GET .*"path":"input\.notes"/,
    },
    {
      title: "a number that cannot be kept",
      path: "/strands/train/run",
      body: '{"input":{"notes":[1e400]}}',
      status: 422,
      code: "INVALID_REQUEST",
      says: "input: has a number that is too large",
    },
    {
      title: "a whole number that would be rounded",
      path: "/strands/train/run",
      body: '{"input":{"notes":"1234567890123456789","id":-9007199254740993}}',
      status: 422,
      code: "INEXACT_NUMBER",
      says: /-9007199254740993 would be rounded.*"hint":"send it as a string"/,
    },
    {
      title: "a clause of 30 000 spaces",
      path: "/explain",
      body: JSON.stringify({ requires: [`k=${" ".repeat(30_000)}x`] }),
      status: 422,
      code: "INVALID_REQUEST",
      says: /requires\[0\]: .* is not a clause: it is longer than 200 characters/,
    },
    {
      title: "a way to retry that there is not",
      path: `/runs/${NOBODY}/retry`,
      body: '{"mode":"half"}',
      status: 422,
      code: "INVALID_REQUEST",
      says: "mode: must be all, failed or from",
    },
  ])(
    "is answered with what is wrong with it: $title",
    async ({ path, body, status, code, says }, { app }) => {
      const answer = await app.request(`/api/loom${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body }),
      });
      const text = await answer.text();
      expect(text).toMatch(says);
      expect([answer.status, (JSON.parse(text) as { code: string }).code]).toEqual([status, code]);
    },
  );

  test("refuses bytes that are not UTF-8, which would be read as another text", async ({ app }) => {
    const body = Buffer.from('{"input":{"notes":"caf\xe9"}}', "latin1");
    const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
    const answer = await app.request("/api/loom/strands/train/run", {
      method: "POST",
      headers,
      body,
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "INVALID_UTF8" });
    const whole = {
      method: "POST",
      headers,
      body: Buffer.from('{"input":{"notes":"café 9007199254740991"}}'),
    };
    expect((await app.request("/api/loom/strands/train/run", whole)).status).toBeLessThan(423);
  });

  test("keeps the note of a pause, without the NUL that cannot be kept", async ({ call }) => {
    expect((await call("POST", "/strands/hello/pause", { note: "disk\0full" })).status).toBe(204);
    expect((await call("GET", "/strands/hello")).body).toMatchObject({
      paused: { note: "disk\u001afull" },
    });
  });

  test("names a scope once, however often it is given", async ({ call }) => {
    const body = { name: "ci", scopes: ["run", "read", "run"] };
    expect((await call("POST", "/tokens", body)).body).toMatchObject({ scopes: ["run", "read"] });
  });
});

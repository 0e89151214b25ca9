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
      says: 'query: Unrecognized key: \\"statuss\\"',
    },
    {
      title: "a filter that is given twice",
      path: "/runs?limit=1&limit=2",
      status: 422,
      code: "INVALID_REQUEST",
      says: "limit: is given more than once",
    },
    {
      title: "a filter that a stream does not have",
      path: "/events?runId=7",
      status: 422,
      code: "INVALID_REQUEST",
      says: 'query: Unrecognized key: \\"runId\\"',
    },
    {
      title: "a number in another notation",
      path: "/jobs?limit=0x10",
      status: 422,
      code: "INVALID_REQUEST",
      says: "limit: is a whole number, written in digits",
    },
    {
      title: "an id that is none",
      path: "/jobs/abc",
      status: 422,
      code: "INVALID_REQUEST",
      says: "id: is a whole number, written in digits",
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
      says: '"hint":"send a body of JSON, or neither a body nor a content-type"',
    },
    {
      title: "a body that is something else",
      path: "/strands/hello/run",
      body: "[]",
      status: 422,
      code: "INVALID_REQUEST",
      says: /body: Invalid input: expected object, received array.*"hint":"\/docs describes what startRun takes"/,
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
      title: "a way to retry that there is not",
      path: `/runs/${NOBODY}/retry`,
      body: '{"mode":"half"}',
      status: 422,
      code: "INVALID_REQUEST",
      says: "mode: is all, failed or from",
    },
  ])(
    "is told what is wrong with it: $title",
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

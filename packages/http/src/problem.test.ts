import {
  JobNotFoundError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "@loom/queue";
import { PlanError } from "@loom/scheduler";
import { InvalidInputError } from "@loom/workflow";
import { HTTPException } from "hono/http-exception";
import { describe, expect, test } from "vitest";
import { toAnswer, toProblem } from "./problem.ts";

const refused = (code: string) => new QueueRequestError("loom_start_run", { code, message: "no" });

describe("toProblem", () => {
  test.for([
    { error: new RunNotFoundError("a"), status: 404, code: "RUN_NOT_FOUND" },
    { error: new NodeNotFoundError("a"), status: 404, code: "NODE_NOT_FOUND" },
    { error: new InvalidInputError("a", []), status: 422, code: "INVALID_INPUT" },
    {
      error: new PlanError("no", { workflow: "a", step: "b" }),
      status: 422,
      code: "PLAN_FAILED",
    },
    { error: refused("INVALID_ARGUMENT"), status: 422, code: "INVALID_ARGUMENT" },
    { error: refused("INPUT_TOO_LARGE"), status: 413, code: "INPUT_TOO_LARGE" },
    {
      error: new QueueUnavailableError("f", "network", "x"),
      status: 503,
      code: "QUEUE_UNAVAILABLE",
    },
    { error: new QueueSchemaError("f", "x"), status: 503, code: "QUEUE_SCHEMA" },
    { error: new QueueAccessError("f", "x"), status: 503, code: "QUEUE_ACCESS" },
    { error: new HTTPException(400), status: 400, code: "MALFORMED_REQUEST" },
    { error: refused("RUN_NOT_FINISHED"), status: 409, code: "RUN_NOT_FINISHED" },
    { error: refused("IDEMPOTENCY_KEY_REUSED"), status: 422, code: "IDEMPOTENCY_KEY_REUSED" },
    { error: new JobNotFoundError(7), status: 404, code: "JOB_NOT_FOUND" },
    { error: new HTTPException(413), status: 413, code: "BODY_TOO_LARGE" },
    { error: new HTTPException(415), status: 415, code: "UNSUPPORTED_MEDIA_TYPE" },
    { error: new HTTPException(502), status: 500, code: "INTERNAL" },
    { error: new TypeError("x"), status: 500, code: "INTERNAL" },
    { error: "thrown text", status: 500, code: "INTERNAL" },
  ])("makes $code of $error.name", ({ error, status, code }) => {
    expect(toProblem(error)).toMatchObject({ status, code });
  });

  test("names the fields of an input that does not fit, and the input where it is the whole", () => {
    const issues = [
      { path: "servers[0].url", message: "not a URL" },
      { path: "", message: "not an object" },
    ];
    expect(toProblem(new InvalidInputError("deploy", issues)).errors).toEqual([
      { path: "input.servers[0].url", message: "not a URL" },
      { path: "input", message: "not an object" },
    ]);
  });

  test("says nothing of a fault's inside", () => {
    const fault = new Error("password=hunter2", { cause: new Error("hunter2") });
    expect(JSON.stringify(toProblem(fault))).not.toContain("hunter2");
    expect(JSON.stringify(toProblem(new HTTPException(500, { message: "hunter2" })))).not.toContain(
      "hunter2",
    );
  });
});

describe("toAnswer", () => {
  const answer = (status: number) =>
    toAnswer({ title: "T", status, code: "SOME_CODE", detail: "d" });

  test("makes a problem document with a type that follows from the code", () => {
    const { body, headers } = answer(422);
    expect(headers).toEqual({
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    expect(JSON.parse(body)).toEqual({
      type: "urn:loom:problem:some-code",
      title: "T",
      status: 422,
      code: "SOME_CODE",
      detail: "d",
    });
  });

  test("says how to authorize, and when to come again", () => {
    expect(answer(401).headers).toMatchObject({ "www-authenticate": 'Bearer realm="loom"' });
    expect(answer(503).headers).toMatchObject({ "retry-after": "2" });
  });
});

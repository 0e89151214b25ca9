import {
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
} from "@loom/queue";
import { SupersededError } from "@loom/worker";
import { describe, expect, test } from "vitest";
import { EnvError } from "./env.ts";
import { NoAgentError, PreconditionError, RefusedError, UsageError } from "./errors.ts";
import { toExit, toLogged } from "./exit.ts";

describe("toExit", () => {
  test.for([
    { error: new EnvError("bad"), code: 2, says: "bad" },
    { error: new QueueAccessError("f", "no"), code: 4, says: "LOOM_NODE_KEY" },
    { error: new QueueSchemaError("f", "no"), code: 5, says: "loom-hub migrate" },
    {
      error: new QueueRequestError("f", { code: "INVALID_ARGUMENT", message: "no" }),
      code: 5,
      says: "loom-agent: f: no",
    },
    { error: new QueueUnavailableError("f", "network", "no"), code: 8, says: "did not answer" },
    { error: new UsageError("no command"), code: 2, says: "no command" },
    { error: new NoAgentError("no agent"), code: 3, says: "no agent" },
    { error: new NodeNotFoundError("forge"), code: 3, says: "forge" },
    { error: new RefusedError("QUEUE_ACCESS", "no"), code: 4, says: "LOOM_NODE_KEY" },
    { error: new PreconditionError("no"), code: 5, says: "no" },
    { error: new SupersededError("forge"), code: 5, says: "LOOM_NODE_NAME" },
  ])("tells $error.name in a line, with code $code", ({ error, code, says }) => {
    const exit = toExit(error);
    expect(exit).toEqual({ code, message: expect.stringContaining(says) });
    expect(String(exit.message).split("\n")).toHaveLength(1);
  });

  test("keeps what it does not know whole", () => {
    const error = new TypeError("x");
    expect(toExit(error)).toEqual({ code: 1, message: error });
  });
});

describe("toLogged", () => {
  test("leaves out the stack of a database that is away, and of nothing else", () => {
    const away = new QueueUnavailableError("f", "network", "refused");
    expect(toLogged(away)).toMatchObject({ code: "QUEUE_UNAVAILABLE", reason: "network" });
    expect(toLogged(away)).not.toHaveProperty("stack");
    expect(toLogged(new TypeError("x"))).toMatchObject({ stack: expect.any(String) });
  });
});

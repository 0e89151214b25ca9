import { EnvError } from "@loom/program";
import {
  NodeNameInUseError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
} from "@loom/queue";
import { SupersededError } from "@loom/worker";
import { describe, expect, test } from "vitest";
import { NoAgentError, PreconditionError, RefusedError, UsageError } from "./errors.ts";
import { toExit } from "./exit.ts";

const HOLDER = {
  machine: null,
  host: "kitchen",
  isCopy: false,
  isHere: false,
  tailnetAddress: "100.64.0.7",
  leaseLeftMs: 1_000,
};

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
    {
      error: new NodeNameInUseError("forge", { ...HOLDER, isHere: true }),
      code: 5,
      says: "of this machine",
    },
    {
      error: new NodeNameInUseError("forge", HOLDER),
      code: 6,
      says: "in use on kitchen (100.64.0.7)",
    },
  ])("reports $error.name in one line, with code $code", ({ error, code, says }) => {
    const exit = toExit(error);
    expect(exit).toEqual({ code, message: expect.stringContaining(says) });
    expect(String(exit.message).split("\n")).toHaveLength(1);
  });

  test("keeps what it does not know whole", () => {
    const error = new TypeError("x");
    expect(toExit(error)).toEqual({ code: 1, message: error });
  });
});

import { EnvError } from "@loom/program";
import {
  NodeNameInUseError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
} from "@loom/queue";
import { SupersededError } from "@loom/worker";
import { describe, expect, test } from "vitest";
import { MigrationError } from "./commands/migrate.ts";
import { toExit } from "./exit.ts";
import { ListenError } from "./listen/serve.ts";

const listenError = (code: string) =>
  new ListenError(
    { bind: "127.0.0.1", port: 80 },
    { cause: Object.assign(new Error("cause"), { code }) },
  );

const HOLDER = {
  machine: null,
  host: null,
  isCopy: false,
  isHere: false,
  tailnetAddress: null,
  leaseLeftMs: 1_000,
};

describe("toExit", () => {
  test.for([
    { error: new EnvError("bad"), code: 78, says: "bad" },
    {
      error: new QueueAccessError("f", "no"),
      code: 1,
      says: "loom-hub: f: the database refused the key: no; check that SUPABASE_SECRET_KEY",
    },
    { error: new QueueSchemaError("f", "no"), code: 1, says: "loom-hub migrate" },
    {
      error: new QueueRequestError("f", { code: "INVALID_ARGUMENT", message: "no" }),
      code: 1,
      says: "loom-hub: f: no",
    },
    { error: new SupersededError("forge"), code: 1, says: "LOOM_NODE_NAME" },
    { error: new NodeNameInUseError("forge", HOLDER), code: 6, says: "in use on another machine" },
    { error: new MigrationError("no"), code: 1, says: "loom-hub: no" },
    { error: listenError("EADDRINUSE"), code: 1, says: "port 80 of 127.0.0.1: it is in use" },
    { error: listenError("EACCES"), code: 1, says: "set PORT to one above 1023" },
    { error: listenError("EADDRNOTAVAIL"), code: 1, says: "set LOOM_BIND" },
    { error: listenError("EOTHER"), code: 1, says: "port 80 of 127.0.0.1: cause" },
  ])("reports $error.name in one line, with code $code", ({ error, code, says }) => {
    const exit = toExit(error);
    expect(exit).toEqual({ code, message: expect.stringContaining(says) });
    expect(String(exit.message).split("\n")).toHaveLength(1);
  });

  test("keeps what it does not know whole", () => {
    const error = new TypeError("x");
    expect(toExit(error)).toEqual({ code: 1, message: error });
    expect(toExit("text")).toEqual({ code: 1, message: "text" });
  });
});

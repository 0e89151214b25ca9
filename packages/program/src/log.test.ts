import { QueueUnavailableError } from "@loom/queue";
import { describe, expect, test } from "vitest";
import { toLogged } from "./log.ts";

describe("toLogged", () => {
  test("leaves out the stack only of an error about an unavailable database", () => {
    expect(toLogged(new QueueUnavailableError("f", "network", "refused"))).toEqual({
      type: "QueueUnavailableError",
      code: "QUEUE_UNAVAILABLE",
      reason: "network",
      message: "f: the database's API did not answer (network): refused",
    });
    expect(toLogged(new TypeError("x"))).toMatchObject({ stack: expect.any(String) });
  });
});

import { describe, expect, test } from "vitest";
import { fromSqlState } from "./errors.ts";

describe("fromSqlState", () => {
  test.for([
    ["22P02", "INVALID_ARGUMENT", "an invalid number"],
    ["22003", "INVALID_ARGUMENT", "a number beyond its type"],
    ["22P05", "INVALID_ARGUMENT", "a character that Postgres cannot store"],
    ["23505", "INVALID_ARGUMENT", "a second row with one key"],
    ["23514", "INVALID_ARGUMENT", "a check"],
    ["54000", "INVALID_ARGUMENT", "a name beyond the index"],
    ["54001", "INVALID_ARGUMENT", "JSON that is too deep"],
    ["P0001", "INVALID_ARGUMENT", "a trigger's refusal"],
    ["PT400", "INVALID_ARGUMENT", "our own refusal"],
    ["PT403", "QUEUE_ACCESS", "a key of another node"],
    ["42501", "QUEUE_ACCESS", "a role without rights"],
    ["28P01", "QUEUE_ACCESS", "a wrong password"],
    ["42883", "QUEUE_SCHEMA", "no such function"],
    ["42P01", "QUEUE_SCHEMA", "no such table"],
    ["42725", "QUEUE_SCHEMA", "two functions of one name"],
    ["3D000", "QUEUE_SCHEMA", "no such database"],
    ["PGRST202", "QUEUE_SCHEMA", "no such function in PostgREST's cache"],
    ["PGRST106", "QUEUE_SCHEMA", "a schema that PostgREST does not serve"],
    ["08006", "QUEUE_UNAVAILABLE", "a connection that failed"],
    ["25006", "QUEUE_UNAVAILABLE", "a read-only server"],
    ["26000", "QUEUE_UNAVAILABLE", "a pooler that swapped connections"],
    ["40001", "QUEUE_UNAVAILABLE", "a serialization failure"],
    ["40P01", "QUEUE_UNAVAILABLE", "a deadlock"],
    ["53100", "QUEUE_UNAVAILABLE", "a full disk"],
    ["53300", "QUEUE_UNAVAILABLE", "too many connections"],
    ["55P03", "QUEUE_UNAVAILABLE", "a lock that was not granted"],
    ["57014", "QUEUE_UNAVAILABLE", "a statement timeout"],
    ["57P01", "QUEUE_UNAVAILABLE", "a shutdown"],
    ["57P03", "QUEUE_UNAVAILABLE", "a start-up"],
    ["58030", "QUEUE_UNAVAILABLE", "a disk that fails"],
    ["P0002", "QUEUE_UNAVAILABLE", "a row that was pruned meanwhile"],
    ["XX000", "QUEUE_UNAVAILABLE", "the server's own bug"],
  ] as const)("takes %s for %s: %s", ([sqlState, code]) => {
    expect(fromSqlState("loom_f", { message: "m", code: sqlState })).toMatchObject({ code });
  });

  test("keeps the code and the hint of our own refusals", () => {
    const error = { code: "PT409", message: "m", details: "RUN_NOT_FINISHED", hint: "wait" };
    expect(fromSqlState("loom_f", error)).toMatchObject({
      code: "RUN_NOT_FINISHED",
      hint: "wait",
      operation: "loom_f",
    });
  });

  test("names a NUL as the reason", () => {
    const message = "unsupported Unicode escape sequence";
    const error = { code: "22P05", message, details: "\\u0000 cannot be converted to text." };
    expect(fromSqlState("loom_f", error)).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "\\u0000 cannot be converted to text.",
    });
  });

  test("does not use another server's details as a code", () => {
    const error = { code: "23514", message: "m", details: "Failing row contains (1, 2)." };
    expect(fromSqlState("loom_f", error)).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test.for([undefined, "", "PGRST301", "00000"])("says nothing of %s", (code) => {
    expect(fromSqlState("loom_f", { message: "m", code })).toBeUndefined();
  });
});

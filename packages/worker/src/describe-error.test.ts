import { describe, expect, test } from "vitest";
import { describeError } from "./describe-error.ts";

const bytesOf = (error: unknown) => Buffer.byteLength(JSON.stringify(describeError(error)));

/** An error with as many causes, all of them as large as text gets. */
const chain = (length: number, text: string): Error =>
  new Error(text, length > 0 ? { cause: chain(length - 1, text) } : {});

describe("describeError", () => {
  test("keeps name, message, code, stack and cause", () => {
    const cause = Object.assign(new TypeError("fetch failed"), { code: "ECONNREFUSED" });
    expect(describeError(new Error("no answer", { cause }))).toEqual({
      name: "Error",
      message: "no answer",
      stack: expect.stringContaining("describe-error.test.ts"),
      cause: {
        name: "TypeError",
        message: "fetch failed",
        code: "ECONNREFUSED",
        stack: expect.any(String),
      },
    });
  });

  test.for([
    { title: "a text", thrown: "boom", message: "boom" },
    { title: "nothing", thrown: undefined, message: "undefined" },
    { title: "an object", thrown: { status: 404 }, message: "{ status: 404 }" },
    { title: "an object without a prototype", thrown: Object.create(null), message: "null" },
    { title: "a symbol", thrown: Symbol("s"), message: "Symbol(s)" },
  ])("describes $title that was thrown", ({ thrown, message }) => {
    expect(describeError(thrown)).toEqual({
      name: "Error",
      message: expect.stringContaining(message),
    });
  });

  test("describes an error whose message is not a text", () => {
    const error = Object.assign(new Error(), { message: { status: 404 }, stack: undefined });
    expect(describeError(error)).toEqual({ name: "Error", message: "{ status: 404 }" });
  });

  test("survives an error that throws when it is read", () => {
    const error = Object.defineProperty(new Error("boom"), "message", {
      get: () => {
        throw new Error("not now");
      },
    });
    expect(describeError(error)).toMatchObject({ name: "Error" });
  });

  test("clips a long message, and says how long it was", () => {
    const { message } = describeError(new Error("x".repeat(1_000_000))) as { message: string };
    expect(message.length).toBeLessThan(5_000);
    expect(message).toContain("(1000000 characters)");
  });

  test("ends a circle of causes", () => {
    const error = new Error("round");
    error.cause = error;
    expect(JSON.stringify(describeError(error)).match(/"round"/g)).toHaveLength(6);
  });

  // sql/settle_jobs.sql refuses errors of more; NUL takes six bytes a character.
  test.for(["x", "é", "漢", "\u0000", "\ud800"])(
    "fits 64 KiB with every text full of %j",
    (character) => {
      const text = character.repeat(100_000);
      for (let causes = 0; causes <= 6; causes += 1) {
        const error = chain(causes, text);
        error.name = text;
        error.stack = text;
        Object.assign(error, { code: text });
        expect(bytesOf(error)).toBeLessThanOrEqual(65_536);
      }
    },
  );

  test("gives up the deepest causes first", () => {
    const error = chain(5, "漢".repeat(100_000));
    expect(describeError(error)).toHaveProperty("cause.message");
    expect(describeError(error)).not.toHaveProperty("cause.cause.cause.cause.cause");
  });
});

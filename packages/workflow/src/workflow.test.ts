import { describe, expect, test } from "vitest";
import { z } from "zod";
import { InvalidInputError } from "./errors.ts";
import { parseInput } from "./workflow.ts";

const workflow = {
  name: "deploy",
  input: z.object({
    ref: z.string().default("main"),
    servers: z.array(z.object({ url: z.url() })).default([]),
  }),
};

function problemsOf(input: unknown): InvalidInputError {
  try {
    parseInput(workflow, input);
  } catch (error) {
    if (error instanceof InvalidInputError) return error;
    throw error;
  }
  throw new Error("the input was accepted");
}

describe("parseInput", () => {
  test("fills in defaults", () => {
    expect(parseInput(workflow, { ref: "next" })).toEqual({ ref: "next", servers: [] });
  });

  test("treats a missing input as an empty one", () => {
    expect(parseInput(workflow, undefined)).toEqual({ ref: "main", servers: [] });
  });

  test("reports every place that does not fit, by its path", () => {
    const error = problemsOf({ ref: 7, servers: [{ url: "http://a" }, { url: "nonsense" }] });
    expect(error).toMatchObject({ code: "INVALID_INPUT", workflow: "deploy" });
    expect(error.issues.map(({ path }) => path)).toEqual(["ref", "servers[1].url"]);
    expect(error.message).toContain("servers[1].url: must be a URL");
  });

  test("has an empty path for the input as a whole", () => {
    expect(problemsOf(null).issues).toMatchObject([{ path: "" }]);
  });
});

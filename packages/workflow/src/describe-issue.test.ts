import { describe, expect, test } from "vitest";
import { z } from "zod";
import { describeIssue } from "./describe-issue.ts";

const say = (schema: z.ZodType, value: unknown) =>
  schema.safeParse(value, { error: describeIssue }).error?.issues.map(({ message }) => message);

describe("describeIssue", () => {
  test.for<{ schema: z.ZodType; value: unknown; said: string }>([
    { schema: z.object({ a: z.string() }), value: {}, said: "is missing: it must be text" },
    { schema: z.int(), value: 0.5, said: "must be a whole number" },
    { schema: z.array(z.string()), value: {}, said: "must be a list" },
    { schema: z.number().min(1), value: 0, said: "must be at least 1" },
    { schema: z.number().lt(3), value: 3, said: "must be less than 3" },
    { schema: z.string().min(1), value: "", said: "must have at least 1 character" },
    { schema: z.array(z.int()).max(2), value: [1, 2, 3], said: "must have at most 2 entries" },
    { schema: z.number().multipleOf(5), value: 7, said: "must be a multiple of 5" },
    { schema: z.enum(["a", "b", "c"]), value: "d", said: 'must be "a", "b" or "c"' },
    { schema: z.literal("a"), value: 1, said: 'must be "a"' },
    {
      schema: z.iso.datetime(),
      value: "yesterday",
      said: "must be a date and time such as 2026-01-31T12:00:00Z",
    },
    { schema: z.string().regex(/^a+$/), value: "b", said: "must match /^a+$/" },
    {
      schema: z.strictObject({ ref: z.string().optional(), key: z.string().optional() }),
      value: { reff: 1 },
      said: 'has no field "reff"; its fields are ref and key',
    },
    { schema: z.union([z.string(), z.int()]), value: [], said: "has none of the allowed forms" },
    { schema: z.string().refine(() => false), value: "", said: "is not allowed" },
    { schema: z.string().min(1, "name it"), value: "", said: "name it" },
  ])("says what is allowed: $said", ({ schema, value, said }) => {
    expect(say(schema, value)).toEqual([said]);
  });
});

import { expect, test } from "vitest";
import { FieldError, fieldsOf, toInput } from "./fields.ts";

const schema = {
  type: "object",
  properties: {
    ref: { type: "string", default: "main", description: "what to deploy" },
    copies: { type: "integer" },
    colour: { enum: ["red", "blue"] },
    dry: { type: "boolean", default: false },
    labels: { type: "array", items: { type: "string" } },
  },
  required: ["ref", "copies"],
};

test("asks for every property by its kind, and for what has no default as required", () => {
  const fields = fieldsOf(schema) ?? [];
  expect(
    fields.map(({ name, kind, isRequired, initial }) => [name, kind, isRequired, initial]),
  ).toEqual([
    ["ref", "text", false, "main"],
    ["copies", "integer", true, ""],
    ["colour", "choice", false, ""],
    ["dry", "boolean", false, "false"],
    ["labels", "json", false, ""],
  ]);
});

test("what is no object is written as JSON", () => {
  expect(fieldsOf({ type: "array" })).toBeUndefined();
  expect(fieldsOf({})).toBeUndefined();
});

test("means what was filled in, and leaves out what was not", () => {
  const fields = fieldsOf(schema) ?? [];
  const values = new Map([
    ["ref", ""],
    ["copies", "3"],
    ["dry", "true"],
    ["labels", '["a"]'],
  ]);
  expect(toInput(fields, values)).toEqual({ copies: 3, dry: true, labels: ["a"] });
});

test("says which field cannot be read", () => {
  const fields = fieldsOf(schema) ?? [];
  const fill = (name: string, text: string) => () => toInput(fields, new Map([[name, text]]));
  expect(fill("copies", "three")).toThrow(
    new FieldError("copies", "copies is a number, not “three”"),
  );
  expect(fill("labels", "[")).toThrow(/^labels is not JSON: /);
});

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

test("makes a field of each property, required if the property has no default", () => {
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

test("an input that is not an object has no fields", () => {
  expect(fieldsOf({ type: "array" })).toBeUndefined();
  expect(fieldsOf({})).toBeUndefined();
});

test("converts filled fields, and leaves out empty ones", () => {
  const fields = fieldsOf(schema) ?? [];
  const values = new Map([
    ["ref", ""],
    ["copies", "3"],
    ["dry", "true"],
    ["labels", '["a"]'],
  ]);
  expect(toInput(fields, values)).toEqual({ copies: 3, dry: true, labels: ["a"] });
});

test("names the field whose value is invalid", () => {
  const fields = fieldsOf(schema) ?? [];
  const fill = (name: string, text: string) => () => toInput(fields, new Map([[name, text]]));
  expect(fill("copies", "three")).toThrow(
    new FieldError("copies", "copies is a number, not “three”"),
  );
  expect(fill("labels", "[")).toThrow(/^labels is not JSON: /);
});

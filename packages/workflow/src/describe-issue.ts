import { z } from "zod";

/** Names of types, as a person who sends JSON knows them. */
const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
  date: "a date",
};

/** Formats of text, with an example where a name alone is not enough. */
const FORMATS: Readonly<Record<string, string>> = {
  datetime: "a date and time such as 2026-01-31T12:00:00Z",
  date: "a date such as 2026-01-31",
  time: "a time such as 12:00:00",
  email: "an email address",
  url: "a URL",
  uuid: "a UUID",
  ipv4: "an IPv4 address",
  ipv6: "an IPv6 address",
};

/**
 * Says what is wrong with a value and what is allowed, as the end of a sentence that begins with the value's name:
 * `must be at least 1`. It is an error map for zod; a message of the schema's own comes first.
 */
export function describeIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type": {
      const type = TYPES[issue.expected] ?? issue.expected;
      return issue.input === undefined ? `is missing: it must be ${type}` : `must be ${type}`;
    }
    case "too_small":
      return boundOf(issue, issue.inclusive === false ? "more than" : "at least", issue.minimum);
    case "too_big":
      return boundOf(issue, issue.inclusive === false ? "less than" : "at most", issue.maximum);
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_value":
      return `must be ${listOf(
        issue.values.map((value) => JSON.stringify(value)),
        "or",
      )}`;
    case "invalid_format":
      return issue.format === "regex"
        ? `must match ${issue.pattern}`
        : `must be ${FORMATS[issue.format] ?? `valid ${issue.format}`}`;
    case "unrecognized_keys": {
      const allowed = issue.inst instanceof z.core.$ZodObject ? issue.inst._zod.def.shape : {};
      const known = Object.keys(allowed);
      const unknown = `has no field ${listOf(
        issue.keys.map((key) => JSON.stringify(key)),
        "or",
      )}`;
      return known.length > 0 ? `${unknown}; its fields are ${listOf(known, "and")}` : unknown;
    }
    case "invalid_union":
      return "has none of the allowed forms";
    case "invalid_key":
      return "has a field with an invalid name";
    case "invalid_element":
      return "has an invalid entry";
    default:
      return "is not allowed";
  }
}

/** The unit that each type with a size is counted in. */
const COUNTED: Readonly<Record<string, string>> = {
  string: "character",
  array: "entry",
  set: "entry",
  map: "entry",
  file: "byte",
};
const PLURALS: Readonly<Record<string, string>> = { entry: "entries" };

function boundOf({ origin }: { origin: string }, relation: string, bound: number | bigint): string {
  const unit = COUNTED[origin];
  if (unit === undefined) return `must be ${relation} ${bound}`;
  return `must have ${relation} ${bound} ${Number(bound) === 1 ? unit : (PLURALS[unit] ?? `${unit}s`)}`;
}

/** `a`, `a or b`, `a, b or c`. */
const listOf = (names: readonly string[], word: "and" | "or"): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} ${word} ${names.at(-1)}`;

/** A property of a workflow's input, as a form asks for it. */
export interface Field {
  name: string;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "json";
  isRequired: boolean;
  description: string | undefined;
  /** The default as text; empty if there is none. */
  initial: string;
  choices: readonly string[];
}

type Schema = Record<string, unknown>;

/**
 * The fields of an input that is an object. Undefined for any other input: the user then writes it as JSON.
 *
 * @param schema - JSON Schema from the hub.
 */
export function fieldsOf(schema: Schema): Field[] | undefined {
  if (schema.type !== "object" || !isObject(schema.properties)) return undefined;
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(schema.properties).map(([name, given]) => {
    const property = isObject(given) ? given : {};
    return {
      name,
      kind: kindOf(property),
      isRequired: required.includes(name) && property.default === undefined,
      description: typeof property.description === "string" ? property.description : undefined,
      initial: property.default === undefined ? "" : toText(property.default),
      choices: Array.isArray(property.enum) ? property.enum.map(String) : [],
    };
  });
}

const isObject = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const toText = (value: unknown): string =>
  typeof value === "string" ? value : JSON.stringify(value);

const KINDS: Readonly<Record<string, Field["kind"]>> = {
  string: "text",
  number: "number",
  integer: "integer",
  boolean: "boolean",
};

function kindOf(property: Schema): Field["kind"] {
  const isChoice =
    Array.isArray(property.enum) && property.enum.every((value) => typeof value === "string");
  return isChoice ? "choice" : (KINDS[String(property.type)] ?? "json");
}

/**
 * Converts a filled form to an input. Empty fields are left out: the workflow has a default for them or
 * reports them as missing.
 *
 * @throws FieldError if a value does not fit its field's kind.
 */
export function toInput(
  fields: readonly Field[],
  values: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const given = fields.flatMap((field) => {
    const text = values.get(field.name) ?? "";
    return text === "" ? [] : [[field.name, toValue(field, text)] as const];
  });
  return Object.fromEntries(given);
}

/** A field's value is invalid. */
export class FieldError extends Error {
  override readonly name = "FieldError";
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

function toValue({ name, kind }: Field, text: string): unknown {
  switch (kind) {
    case "number":
    case "integer": {
      const value = Number(text);
      if (Number.isNaN(value)) throw new FieldError(name, `${name} is a number, not “${text}”`);
      return value;
    }
    case "boolean":
      return text === "true";
    case "json":
      return readJson(name, text);
    default:
      return text;
  }
}

/** @throws FieldError */
export function readJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FieldError(name, `${name} is not JSON: ${(error as Error).message}`);
  }
}

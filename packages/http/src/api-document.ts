/** The parts of an OpenAPI document that the reference shows. */
export interface ApiDocument {
  info: { title: string; version: string };
  paths?: Record<string, Record<string, RawOperation>>;
  components?: { schemas?: Record<string, Schema> };
}

interface RawOperation {
  operationId?: string;
  summary?: string;
  description?: string;
  "x-loom-scope"?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  description: string | undefined;
  scope: string | undefined;
  parameters: Parameter[];
  body: { required: boolean; schema: Schema } | undefined;
  /** The successful ones. */
  answers: {
    status: string;
    description: string;
    type: string | undefined;
    schema: Schema | undefined;
  }[];
  problems: string[];
}

/** Every operation of a document, in its order. */
export function operationsOf(document: ApiDocument): Operation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, raw]) => toOperation(path, method, raw)),
  );
}

function toOperation(path: string, method: string, raw: RawOperation): Operation {
  const schema = raw.requestBody?.content["application/json"]?.schema;
  const statuses = Object.entries(raw.responses);
  return {
    id: raw.operationId ?? `${method} ${path}`,
    method: method.toUpperCase(),
    path,
    summary: raw.summary ?? "",
    description: raw.description,
    scope: raw["x-loom-scope"],
    parameters: raw.parameters ?? [],
    body: schema && { required: raw.requestBody?.required ?? false, schema },
    answers: statuses
      .filter(([status]) => Number(status) < 400)
      .map(([status, { description, content = {} }]) => {
        const [type] = Object.keys(content);
        return { status, description, type, schema: type ? content[type]?.schema : undefined };
      }),
    problems: statuses.map(([status]) => status).filter((status) => Number(status) >= 400),
  };
}

/** A JSON Schema, as OpenAPI documents hold it. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
}

/** A schema as a reader of TypeScript would write it. */
export function printSchema(schema: Schema | undefined, indent = ""): string {
  if (!schema) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").at(-1) ?? "unknown";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const union = schema.anyOf ?? schema.oneOf;
  if (union) return union.map((part) => printSchema(part, indent)).join(" | ");
  if (schema.allOf) return schema.allOf.map((part) => printSchema(part, indent)).join(" & ");
  const types = [schema.type ?? []].flat();
  if (types.length === 0) return "unknown";
  return types.map((type) => printType(type, schema, indent)).join(" | ");
}

function printType(type: string, schema: Schema, indent: string): string {
  switch (type) {
    case "array": {
      const item = printSchema(schema.items, indent);
      return item.includes(" | ") && !item.startsWith("{") ? `(${item})[]` : `${item}[]`;
    }
    case "object":
      return printObject(schema, indent);
    case "integer":
      return "number";
    default:
      return type;
  }
}

function printObject(schema: Schema, indent: string): string {
  const properties = Object.entries(schema.properties ?? {});
  const others = schema.additionalProperties;
  if (properties.length === 0) {
    return `Record<string, ${printSchema(typeof others === "object" ? others : undefined, indent)}>`;
  }
  const lines = properties.map(([name, property]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    return `${indent}  ${name}${optional}: ${printSchema(property, `${indent}  `)};`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

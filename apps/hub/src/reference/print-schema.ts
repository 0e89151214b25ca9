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

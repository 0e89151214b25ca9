import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

/** An OpenAPI document, as far as its tests read it. */
export interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

interface Operation {
  operationId: string;
  "x-loom-scope"?: string;
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
}

export interface DescribedOperation {
  id: string;
  method: string;
  path: string;
  scope: string;
  responses: Operation["responses"];
}

export const operationsOf = ({ paths }: Document): DescribedOperation[] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, responses, ...rest }]) => ({
      id: operationId,
      method: method.toUpperCase(),
      path,
      scope: rest["x-loom-scope"] ?? "",
      responses,
    })),
  );

/**
 * Checks answers against what the document says of them.
 *
 * Objects whose schema says nothing of further properties may have none: what an answer holds is
 * described.
 */
export function createChecker(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(closed({ components: document.components }) as object, "api");
  const known = new Map<object, ValidateFunction>();

  /** Describes the fault of an answer; undefined when there is none. */
  return (operation: DescribedOperation, { status, type, text }: Answer): string | undefined => {
    const described = operation.responses[status];
    if (!described) return `status ${status} is not described: ${text}`;
    if (!described.content)
      return type === undefined ? undefined : `a body of ${type}, and none described`;
    const schema = described.content[type ?? ""]?.schema;
    if (!schema) return `the type ${type} is not described for ${status}`;
    if (type === "text/event-stream") return undefined;
    const validate = known.get(schema) ?? ajv.compile(absolute(closed(schema)) as object);
    known.set(schema, validate);
    return validate(JSON.parse(text)) ? undefined : `${ajv.errorsText(validate.errors)} in ${text}`;
  };
}

/** An answer, read. */
export interface Answer {
  status: number;
  type: string | undefined;
  text: string;
}

/** Reads an answer; of a stream, nothing. */
export async function readAnswer(answer: Response): Promise<Answer> {
  const type = answer.headers.get("content-type")?.split(";", 1)[0];
  const isStream = type === "text/event-stream";
  if (isStream) await answer.body?.cancel();
  return { status: answer.status, type, text: isStream ? "" : await answer.text() };
}

function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const inner = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, closed(value)]),
  );
  return "properties" in schema && !("additionalProperties" in schema)
    ? { unevaluatedProperties: false, ...inner }
    : inner;
}

/** References of an answer's schema lead into the document. */
function absolute(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(absolute);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === "$ref" ? `api${value}` : absolute(value),
    ]),
  );
}

import type { Schema } from "./print-schema.ts";

/** Of an OpenAPI document what the reference shows. */
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
  /** The good ones. */
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

import { type ApiDocument, type Operation, operationsOf, printSchema } from "@loom/http";

/** An API's reference as a page of Markdown. */
export function toMarkdown(document: ApiDocument): string {
  const operations = operationsOf(document);
  const schemas = Object.entries(document.components?.schemas ?? {});
  return [
    "# HTTP API",
    "Made from the hub's OpenAPI document by `npm test -- apps/hub/test/reference.test.ts -u`. A running hub serves the document at `/openapi.json`, and this reference at `/docs`.",
    "Every answer that reports an error is a `Problem` (RFC 9457, `application/problem+json`), whose `code` is stable. Besides those that an operation lists, the hub answers 404 and 405 to what is not there, and 500 for a fault of its own.",
    table(operations),
    ...operations.map(describe),
    "## Shapes",
    ...schemas.map(([name, schema]) => `### ${name}\n\n${code(printSchema(schema))}`),
    "",
  ].join("\n\n");
}

const table = (operations: Operation[]): string =>
  [
    "| operation | | needs |",
    "| --- | --- | --- |",
    ...operations.map(
      ({ id, method, path, scope }) =>
        `| [${id}](#${id.toLowerCase()}) | \`${method} ${path}\` | ${scope ?? "nothing"} |`,
    ),
  ].join("\n");

const code = (text: string): string => `\`\`\`typescript\n${text}\n\`\`\``;

function describe(operation: Operation): string {
  const { id, method, path, summary, description, scope, parameters, body } = operation;
  return [
    `## ${id}`,
    `\`${method} ${path}\``,
    `${summary}.${scope ? ` Needs the scope \`${scope}\`.` : ""}`,
    ...(description ? [description] : []),
    ...(parameters.length > 0 ? [parameters.map(parameterLine).join("\n")] : []),
    ...(body
      ? [`Body${body.required ? "" : " (may be left out)"}:`, code(printSchema(body.schema))]
      : []),
    ...operation.answers.map(
      ({ status, description: what, type, schema }) =>
        `**${status}** ${what}.${type ? ` \`${type}\`:\n\n${code(printSchema(schema))}` : ""}`,
    ),
    `Problems: ${operation.problems.join(", ") || "none"}.`,
  ].join("\n\n");
}

const parameterLine = ({
  name,
  in: place,
  required,
  description,
  schema,
}: Operation["parameters"][number]) =>
  `- \`${name}\` (${place}${required ? "" : ", optional"}): \`${printSchema(schema)}\`${description ? `. ${description}` : ""}`;

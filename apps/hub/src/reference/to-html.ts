import { createHash } from "node:crypto";
import { type ApiDocument, type Operation, operationsOf } from "./operations.ts";
import { printSchema } from "./print-schema.ts";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --accent: light-dark(#0a58ca, #8ab4f8); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: minmax(14rem, 20rem) 1fr; }
nav { border-right: 1px solid var(--line); padding: 1rem; position: sticky; top: 0; height: 100vh; overflow: auto; box-sizing: border-box; }
nav ul { list-style: none; padding: 0; } main { padding: 1rem 2rem; max-width: 60rem; min-width: 0; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
section { border-top: 1px solid var(--line); padding-bottom: 1rem; } dt { margin-top: .5rem; }
pre { overflow: auto; padding: .75rem; border: 1px solid var(--line); border-radius: 6px; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
`;

/** Nothing is loaded, and nothing runs: one style, known by its hash. */
export const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const toText = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/** An API's reference as one page, complete in itself. */
export function toHtml(document: ApiDocument): string {
  const operations = operationsOf(document);
  const schemas = Object.entries(document.components?.schemas ?? {});
  const link = (id: string) => `<li><a href="#${toText(id)}">${toText(id)}</a></li>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${toText(document.info.title)} API</title>
<style>${STYLE}</style>
</head>
<body>
<nav aria-label="Contents">
<a href="/openapi.json">openapi.json</a>
<ul>${operations.map(({ id }) => link(id)).join("")}</ul>
<strong>Shapes</strong>
<ul>${schemas.map(([name]) => link(name)).join("")}</ul>
</nav>
<main>
<h1>${toText(document.info.title)} API <small>${toText(document.info.version)}</small></h1>
<p>Send a token as <code>Authorization: Bearer …</code>. What goes wrong is answered with a <a href="#Problem">Problem</a>, whose <code>code</code> is stable.</p>
${operations.map(section).join("\n")}
<h2>Shapes</h2>
${schemas.map(([name, schema]) => `<section id="${toText(name)}"><h3>${toText(name)}</h3>${code(printSchema(schema))}</section>`).join("\n")}
</main>
</body>
</html>
`;
}

const code = (text: string): string => `<pre><code>${toText(text)}</code></pre>`;

function section(operation: Operation): string {
  const { id, method, path, summary, description, scope, parameters, body } = operation;
  const rows = parameters.map(
    ({ name, in: place, required, description: what = "", schema }) =>
      `<dt><code>${toText(name)}</code> <small>${place}${required ? "" : ", optional"}</small> <code>${toText(printSchema(schema))}</code></dt><dd>${toText(what)}</dd>`,
  );
  const answers = operation.answers.map(
    ({ status, description: what, type, schema }) =>
      `<h3>${status} ${toText(what)}</h3>${type ? `<p><code>${toText(type)}</code></p>${code(printSchema(schema))}` : ""}`,
  );
  return `<section id="${toText(id)}">
<h2>${toText(summary)}</h2>
<p><code>${method} ${toText(path)}</code>${scope ? ` <small>needs the scope ${toText(scope)}</small>` : ""}</p>
${description ? `<p>${toText(description)}</p>` : ""}
${rows.length > 0 ? `<dl>${rows.join("")}</dl>` : ""}
${body ? `<h3>Body${body.required ? "" : " (may be left out)"}</h3>${code(printSchema(body.schema))}` : ""}
${answers.join("")}
<p>Problems: ${operation.problems.join(", ") || "none"}</p>
</section>`;
}

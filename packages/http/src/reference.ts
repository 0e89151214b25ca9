import { createHash } from "node:crypto";
import { Hono } from "hono";
import { type ApiDocument, type Operation, operationsOf, printSchema } from "./api-document.ts";

/**
 * Serves the OpenAPI document at `/openapi.json` and as a page at `/docs`. They need no token, because they contain no
 * stored data.
 */
export function referenceRoutes(describe: () => object) {
  // Made at the first request: all routes are registered by then.
  let made: { json: string; html: string } | undefined;
  const reference = () => {
    if (made) return made;
    const document = describe();
    made = { json: JSON.stringify(document), html: toHtml(document as ApiDocument) };
    return made;
  };
  return new Hono()
    .get("/openapi.json", (c) =>
      c.body(reference().json, 200, { "content-type": "application/json" }),
    )
    .get("/docs", (c) =>
      c.html(reference().html, 200, {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
      }),
    );
}

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

/** The page loads nothing and runs nothing: it has one style, known by its hash. */
const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const toText = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/** An API's reference as one page, complete in itself. */
function toHtml(document: ApiDocument): string {
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
<p>Send a token as <code>Authorization: Bearer …</code>. Every error is a <a href="#Problem">Problem</a> with a stable <code>code</code>.</p>
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

import { Hono } from "hono";
import type { ApiDocument } from "./operations.ts";
import { CONTENT_SECURITY_POLICY, toHtml } from "./to-html.ts";

/**
 * `/openapi.json`, and `/docs`: the same to read. Needs no token: it says nothing of what is
 * stored.
 */
export function referenceRoutes(describe: () => object) {
  // Made when it is first asked for: all routes are there by then, and no more come.
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

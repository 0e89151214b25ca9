import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { Context, MiddlewareHandler } from "hono";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The page needs only scripts, styles and connections of the hub itself. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  vary: "accept-encoding",
};

interface PageFile {
  body: Buffer;
  gzipped: Buffer;
  headers: Record<string, string>;
}

/**
 * Serves the built dashboard, with its page for every address that a person opens.
 *
 * The few files are kept in memory with their gzipped form and ETag, because they change only with the hub. Files
 * below `/assets` have a hash of their content in their names.
 *
 * @param folder - The output of `vite build`. Without it, the page says how to build it.
 */
export function serveDashboard(folder: string): MiddlewareHandler {
  const files = readFiles(folder);
  const page = files.get("/index.html") ?? toFile("/index.html", Buffer.from(NOT_BUILT));
  return async (c, next) => {
    const isRead = c.req.method === "GET" || c.req.method === "HEAD";
    const file = c.req.path === "/" ? page : files.get(c.req.path);
    if (isRead && file) return answer(c, file);
    await next();
    if (isRead && c.res.status === 404 && isNavigation(c)) c.res = answer(c, page);
  };
}

/** Whether a browser opens an address, in contrast to a program that asks for a missing resource. */
const isNavigation = (c: Context): boolean =>
  !c.req.path.startsWith("/api/") && (c.req.header("accept")?.includes("text/html") ?? false);

function answer(c: Context, { body, gzipped, headers }: PageFile): Response {
  if (c.req.header("if-none-match") === headers.etag) {
    return new Response(null, { status: 304, headers });
  }
  return acceptsGzip(c.req.header("accept-encoding"))
    ? new Response(gzipped, { headers: { ...headers, "content-encoding": "gzip" } })
    : new Response(body, { headers });
}

function readFiles(folder: string): Map<string, PageFile> {
  const names = listFiles(folder).filter((name) => path.extname(name) in TYPES);
  return new Map(
    names.map((name) => {
      const address = `/${name.split(path.sep).join("/")}`;
      return [address, toFile(address, readFileSync(path.join(folder, name)))];
    }),
  );
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function toFile(address: string, body: Buffer): PageFile {
  const digest = createHash("sha256").update(body).digest("base64url");
  return {
    body,
    gzipped: gzipSync(body, { level: 9 }),
    headers: {
      ...HEADERS,
      "content-type": TYPES[path.extname(address)] ?? "application/octet-stream",
      "cache-control": address.startsWith("/assets/")
        ? "public, max-age=31536000, immutable"
        : "no-cache",
      etag: `"${digest}"`,
    },
  };
}

const NOT_BUILT = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Loom</title>
<h1>This hub has no dashboard yet</h1>
<p>It runs from its sources, and the page is made by <code>npm run build</code>; then start the hub again.
The API is at <a href="/docs">/docs</a>.</p>
</html>
`;

/** Whether an `Accept-Encoding` allows gzip: RFC 9110, section 12.5.3. `gzip;q=0` forbids it. */
function acceptsGzip(header: string | undefined): boolean {
  const weights = new Map(
    (header ?? "").split(",").map((entry): [string, number] => {
      const [coding = "", ...parameters] = entry
        .split(";")
        .map((part) => part.trim().toLowerCase());
      const q = parameters.find((parameter) => parameter.startsWith("q="));
      return [coding, q === undefined ? 1 : Number(q.slice(2))];
    }),
  );
  return (weights.get("gzip") ?? weights.get("x-gzip") ?? weights.get("*") ?? 0) > 0;
}

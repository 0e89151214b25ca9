import { createHash } from "node:crypto";
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { bindingsOf, isLoopback, peerOf } from "./origin.ts";

/** The facts that keep the cookies of two hubs with one host name apart. */
export interface HubIdentity {
  /** The id of the hub's database, which stays as long as its data. */
  databaseId: () => Promise<string>;
}

const PREFIX = "loom_session_";

/**
 * The name of a hub's session cookie. Browsers keep cookies by host name and ignore the port. With a common name,
 * two hubs of one machine would log each other's browsers out and see each other's sessions.
 */
async function nameOf(c: Context, { databaseId }: HubIdentity): Promise<string> {
  const port = bindingsOf(c).incoming?.socket.localPort ?? 0;
  const digest = createHash("sha256")
    .update(`${await databaseId()}\n${port}`)
    .digest("hex");
  return `${PREFIX}${digest.slice(0, 12)}`;
}

/**
 * Whether the browser uses TLS, to the hub or to a proxy in front of it. The header counts only from this
 * machine, where `tailscale serve` and other proxies run: any other caller could forge it.
 */
function isOverTls(c: Context): boolean {
  if (new URL(c.req.url).protocol === "https:") return true;
  return (
    isLoopback(peerOf(c)?.remoteAddress ?? "") &&
    c.req.header("x-forwarded-proto")?.toLowerCase() === "https"
  );
}

/** The secret in this hub's session cookie; undefined where the browser does not send it. */
export async function readSessionCookie(c: Context, hub: HubIdentity): Promise<string | undefined> {
  const cookies = getCookie(c);
  // A request without a session cookie costs no query.
  if (!Object.keys(cookies).some((name) => name.startsWith(PREFIX))) return undefined;
  return cookies[await nameOf(c, hub)];
}

export async function writeSessionCookie(
  c: Context,
  hub: HubIdentity,
  { secret, maxAgeMs }: { secret: string; maxAgeMs: number },
): Promise<void> {
  setCookie(c, await nameOf(c, hub), secret, {
    path: "/",
    httpOnly: true,
    sameSite: "Strict",
    secure: isOverTls(c),
    maxAge: Math.floor(maxAgeMs / 1_000),
  });
}

export async function deleteSessionCookie(c: Context, hub: HubIdentity): Promise<void> {
  deleteCookie(c, await nameOf(c, hub), { path: "/", secure: isOverTls(c) });
}

import type { Context } from "hono";

/**
 * Whether a request was not made by another site's page in somebody's browser. What is no
 * browser sends neither header. Another port of a machine is "same-site", and somebody else's page
 * all the same.
 */
export function isFromHere(c: Context): boolean {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  const isOwnOrigin = origin === undefined || hostOf(origin) === new URL(c.req.url).host;
  return isOwnOrigin && (site === undefined || site === "same-origin" || site === "none");
}

/**
 * Whether a request that changes something was made by a page of this hub, by the browser's own
 * word. What says nothing of where it comes from is refused: every browser says it.
 */
export const isFromOwnPage = (c: Context): boolean =>
  isFromHere(c) &&
  (c.req.header("sec-fetch-site") === "same-origin" || c.req.header("origin") !== undefined);

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

import { createHash } from "node:crypto";
import type { Page } from "@loom/client";
import type { Context } from "hono";
import { z } from "zod";
import { problem } from "./problem.ts";

/**
 * The place in a list that a cursor stands for.
 *
 * @param filters - A cursor works only with the filters that it was made for.
 * @param place - Schema of the list's places.
 * @throws ProblemError `INVALID_CURSOR`
 */
export function readCursor<Place>(
  cursor: string | undefined,
  filters: object,
  place: z.ZodType<Place>,
): Place | undefined {
  if (cursor === undefined) return undefined;
  const text = Buffer.from(cursor, "base64url").toString();
  const [digest, given] = cursorSchema.safeParse(parseJson(text)).data ?? [];
  const found = place.safeParse(given);
  if (!found.success) throw problem("INVALID_CURSOR", "unknown");
  if (digest !== digestOf(filters)) throw problem("INVALID_CURSOR", "filters");
  return found.data;
}

/** A page as the body of an answer; its `Link` header has the address of the next page. */
export function toPage<Item>(
  c: Context,
  data: Item[],
  next: string | number | null,
  filters: object,
): Page<Item> {
  if (next === null) return { data, next };
  const cursor = Buffer.from(JSON.stringify([digestOf(filters), next])).toString("base64url");
  const url = new URL(c.req.url);
  url.searchParams.set("cursor", cursor);
  c.header("Link", `<${url.pathname}${url.search}>; rel="next"`);
  return { data, next: cursor };
}

const cursorSchema = z.tuple([z.string(), z.unknown()]);

const digestOf = (filters: object): string =>
  createHash("sha256")
    .update(JSON.stringify(Object.entries(filters).filter(([, value]) => value !== undefined)))
    .digest("base64url")
    .slice(0, 8);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

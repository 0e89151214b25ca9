import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { ProblemError } from "../problem.ts";
import { wholeNumber } from "../whole-number.ts";

/** A page of a list. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({
    data: z.array(item),
    next: z.string().nullable().openapi({
      description:
        "The `cursor` of the next page; null on the last one. A page can be short, even empty, and have a next.",
    }),
  });

/** What every list takes besides its filters. */
export const pageQuery = {
  cursor: z
    .string()
    .max(1_000)
    .optional()
    .openapi({ description: "`next` of the page before, asked for with the same filters" }),
  limit: wholeNumber({ min: 1, max: 200 }).default(50),
};

/** Of what a cursor is for: a list and its filters. */
const digestOf = (filters: object): string =>
  createHash("sha256")
    .update(JSON.stringify(Object.entries(filters).filter(([, value]) => value !== undefined)))
    .digest("base64url")
    .slice(0, 8);

const toCursor = (place: string | number, filters: object): string =>
  Buffer.from(JSON.stringify([digestOf(filters), place])).toString("base64url");

const mismatch = (detail: string): ProblemError =>
  new ProblemError({
    title: "Cursor not usable",
    status: 422,
    code: "INVALID_CURSOR",
    detail,
    hint: "use `next` of the page before with the same filters, or begin without a cursor",
  });

const cursorSchema = z.tuple([z.string(), z.unknown()]);

/**
 * The place in a list that a cursor stands for.
 *
 * @param place - What the list's places are.
 * @throws ProblemError `INVALID_CURSOR`
 */
export function readCursor<Place>(
  cursor: string | undefined,
  filters: object,
  place: z.ZodType<Place>,
): Place | undefined {
  if (cursor === undefined) return undefined;
  const text = Buffer.from(cursor, "base64url").toString();
  const [digest, told] = cursorSchema.safeParse(parseJson(text)).data ?? [];
  const found = place.safeParse(told);
  if (!found.success) throw mismatch("the cursor is none of this hub's");
  if (digest !== digestOf(filters)) {
    throw mismatch("the cursor belongs to a list with other filters");
  }
  return found.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A page as its body, with the next one's address in the `Link` header. */
export function toPage<Item>(
  c: Context,
  data: Item[],
  next: string | number | null,
  filters: object,
): { data: Item[]; next: string | null } {
  if (next === null) return { data, next };
  const cursor = toCursor(next, filters);
  const url = new URL(c.req.url);
  url.searchParams.set("cursor", cursor);
  c.header("Link", `<${url.pathname}${url.search}>; rel="next"`);
  return { data, next: cursor };
}

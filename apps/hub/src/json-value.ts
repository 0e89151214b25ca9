import { z } from "@hono/zod-openapi";

/** Deeper ones overflow the stack of what parses and prints them. */
const MAX_DEPTH = 100;

const isShallow = (value: unknown, depth = MAX_DEPTH): boolean =>
  typeof value !== "object" ||
  value === null ||
  (depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1)));

/** Any JSON that is not nested too deep. */
export const jsonValue = z
  .unknown()
  .refine((value) => isShallow(value), `nests deeper than ${MAX_DEPTH} levels`);

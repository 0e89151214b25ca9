import { z } from "@hono/zod-openapi";

/** Deeper ones overflow the stack of what parses and prints them. */
const MAX_DEPTH = 100;

const hasFiniteNumbers = (value: unknown): boolean =>
  typeof value === "number"
    ? Number.isFinite(value)
    : typeof value !== "object" || value === null || Object.values(value).every(hasFiniteNumbers);

const isShallow = (value: unknown, depth = MAX_DEPTH): boolean =>
  typeof value !== "object" ||
  value === null ||
  (depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1)));

/** Any JSON that is not nested too deep, and can be written again as it was read. */
export const jsonValue = z
  .unknown()
  .refine((value) => isShallow(value), {
    error: `nests deeper than ${MAX_DEPTH} levels`,
    abort: true,
  })
  .refine(hasFiniteNumbers, "has a number that is too large: numbers reach to 1.8e308");

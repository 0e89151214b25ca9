import { z } from "@hono/zod-openapi";

/** A number in a path or a query, as digits: what JavaScript reads as numbers besides is mostly a mistake. */
export const wholeNumber = ({ min, max }: { min: number; max: number }) =>
  z
    .string("is given more than once")
    .regex(/^\d{1,16}$/, "is a whole number, written in digits")
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .openapi({ type: "integer", minimum: min, maximum: max });

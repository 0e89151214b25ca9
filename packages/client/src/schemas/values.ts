import { limits } from "@loom/workflow";
import { z } from "zod";

/** The value that a caller may pass for a schema: its input, with readonly arrays allowed. */
export type RequestOf<Schema extends z.ZodType> = Immutable<z.input<Schema>>;
type Immutable<Value> = Value extends object
  ? { readonly [Key in keyof Value]: Immutable<Value[Key]> }
  : Value;

/** A point in time as RFC 3339 text. */
export const instant = z.iso.datetime();

/**
 * A number in a path or a query, written in digits. Other notations that JavaScript accepts are
 * mostly mistakes.
 */
export const wholeNumber = ({ min, max }: { min: number; max: number }) =>
  z
    .string("must be given once")
    .regex(/^\d{1,16}$/, "must be a whole number written in digits")
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: "integer", minimum: min, maximum: max });

/** JSON that is not nested too deeply and that `JSON.stringify` reproduces. */
export const jsonValue = z
  .unknown()
  .refine((value) => isShallow(value), {
    error: `must be nested at most ${limits.jsonDepth} levels deep`,
    abort: true,
  })
  .refine(hasFiniteNumbers, "has a number that is too large: the largest is 1.8e308");

function isShallow(value: unknown, depth: number = limits.jsonDepth): boolean {
  return (
    typeof value !== "object" ||
    value === null ||
    (depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1)))
  );
}

function hasFiniteNumbers(value: unknown): boolean {
  return typeof value === "number"
    ? Number.isFinite(value)
    : typeof value !== "object" || value === null || Object.values(value).every(hasFiniteNumbers);
}

/** The caller's own key of a run or of a job. */
export const ownKey = z
  .string()
  .regex(/^\P{C}{1,300}$/u, "must have 1 to 300 printable characters");

/** The body of a pause. */
export const pauseRequest = z.strictObject({ note: z.string().min(1).max(500).optional() });
export type PauseRequest = RequestOf<typeof pauseRequest>;

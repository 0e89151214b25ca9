import { usage } from "../errors.ts";

/**
 * Reads a whole number of an option.
 *
 * @throws CliError `USAGE`.
 */
export function readNumber(
  option: string,
  text: string,
  { min = 0, max }: { min?: number; max: number },
): number {
  const number = /^\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw usage(
    `${option} takes a whole number from ${min} to ${max}`,
    `${option} ${Math.min(20, max)}`,
    `it got ${JSON.stringify(text)}`,
  );
}

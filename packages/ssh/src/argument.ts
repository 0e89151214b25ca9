/** The longest argument, in characters: paths and addresses are shorter on every system. */
const MAX_CHARACTERS = 4_096;

/**
 * Says what is wrong with an argument, beyond what its own schema says; `null` when nothing is.
 *
 * Quoting would carry all of this safely. It is refused because programs read it as something
 * else than what people see: an option, a second line, nothing at all.
 */
export function argumentProblem(value: unknown): string | null {
  if (typeof value !== "string") return null;
  if (value.length > MAX_CHARACTERS) return `is longer than ${MAX_CHARACTERS} characters`;
  if (value.startsWith("-")) return 'begins with "-", which programs read as an option';
  if (!value.isWellFormed()) return "is not well-formed Unicode";
  // Control, format (invisible, or turning the direction of text), line and paragraph separators.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)) return "holds a control or invisible character";
  return null;
}

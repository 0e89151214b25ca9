/**
 * The text as Postgres can keep it, and as long in bytes: a NUL becomes SUB (U+001A), ASCII's own
 * sign for a character that was not kept, and half of a surrogate pair becomes U+FFFD.
 */
export const toStorable = (text: string): string => text.toWellFormed().replaceAll("\0", "\x1a");

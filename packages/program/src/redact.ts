import type { Variables } from "./env.ts";

const HIDDEN = "[redacted]";

/** Keys whose values are hidden, at any depth of a line. */
const SECRET_KEY = /token|secret|password|passwd|authorization|cookie|api[-_]?key|credential/i;

/**
 * Patterns of secrets: bearer tokens, our tokens, Supabase's keys, passwords in addresses.
 *
 * A line can be long, and an attacker may have written it. So every pattern runs in linear time: it
 * begins with a constant and reads up to a character that ends it.
 */
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  [/\bBearer +[\w.~+/=-]+/gi, `Bearer ${HIDDEN}`],
  [/\bloom[jn]?_[A-Za-z0-9_-]{43}/g, HIDDEN],
  [/\bsb_(secret|publishable)_[\w-]+/g, HIDDEN],
  [/(:\/\/[^\s:/@"]*):[^\s/@"]+@/g, `$1:${HIDDEN}@`],
];

/** Hides JSON web tokens: they begin with `eyJ` and have three parts. */
const hideWebTokens = (text: string): string =>
  text.replace(/[\w.-]+/g, (word) => {
    const start = word.indexOf("eyJ");
    return start >= 0 && word.slice(start).split(".").length >= 3
      ? `${word.slice(0, start)}${HIDDEN}`
      : word;
  });

/**
 * Returns the index of the quote that ends the string at `start`; an index beyond the line if it
 * does not end.
 */
function endOfString(line: string, start: number): number {
  let at = start + 1;
  while (at < line.length && line[at] !== '"') at += line[at] === "\\" ? 2 : 1;
  return at;
}

/** Reads a line of JSON once, string by string, and hides the values of secret keys. */
function hideByKey(line: string): string {
  const parts: string[] = [];
  let kept = 0;
  for (let at = line.indexOf('"'); at >= 0; ) {
    const end = endOfString(line, at);
    if (line.startsWith(':"', end + 1) && SECRET_KEY.test(line.slice(at + 1, end))) {
      const valueEnd = endOfString(line, end + 2);
      parts.push(line.slice(kept, end + 3), HIDDEN);
      kept = valueEnd;
      at = line.indexOf('"', valueEnd + 1);
    } else {
      at = line.indexOf('"', end + 1);
    }
  }
  parts.push(line.slice(kept));
  return parts.join("");
}

/**
 * Characters that JSON does not escape but that control a terminal: C1 controls (U+009B starts a
 * sequence like ESC [) and controls of the writing direction.
 */
const UNSAFE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const toEscape = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Shorter secrets would match ordinary words. */
const MIN_LENGTH = 6;

/**
 * Creates a function that hides secrets in a line of JSON: by key at any depth, by pattern, and the
 * given values wherever they occur. It also escapes characters that control a terminal.
 */
export function createRedactor(secrets: readonly (string | undefined)[]): (line: string) => string {
  const known = secrets
    // A line of a secret with several lines may be printed alone.
    .flatMap((secret = "") => [secret, ...secret.split(/[\r\n]+/)])
    .filter((secret) => secret.length >= MIN_LENGTH)
    // The secret in the form that it has inside a JSON string.
    .map((secret) => JSON.stringify(secret).slice(1, -1))
    // The longest first, because one secret may contain another.
    .sort((a, b) => b.length - a.length);
  return (line) => {
    let text = line;
    for (const secret of known) text = text.replaceAll(secret, HIDDEN);
    text = hideWebTokens(hideByKey(text));
    for (const [pattern, instead] of SECRET_TEXT) text = text.replace(pattern, instead);
    return text.replace(UNSAFE, toEscape);
  };
}

const SECRET_VARIABLES = [
  "LOOM_TOKEN",
  "OPTIMALOS_TOKEN",
  "LOOM_NODE_KEY",
  "LOOM_JOIN_TOKEN",
  "SUPABASE_SECRET_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
  "DATABASE_URL",
];

/** Returns the secrets in a program's environment. */
export const secretsIn = (variables: Variables): (string | undefined)[] =>
  SECRET_VARIABLES.map((name) => variables[name]?.trim());

const HIDDEN = "[redacted]";

/** Keys whose value is nobody's business, wherever in a line they are. */
const SECRET_KEY =
  /"([^"]*(?:token|secret|password|passwd|authorization|cookie|api[-_]?key|credential)[^"]*)":"(?:[^"\\]|\\.)*"/gi;

/** What secrets look like: bearer tokens, ours, JSON web tokens, Supabase's keys, passwords in addresses. */
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  [/\bBearer +[\w.~+/=-]+/gi, `Bearer ${HIDDEN}`],
  [/\bloom_[A-Za-z0-9_-]{43}/g, HIDDEN],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, HIDDEN],
  [/\bsb_(secret|publishable)_[\w-]+/g, HIDDEN],
  [/(\w+:\/\/[^\s:/@"]*):[^\s/@"]+@/g, `$1:${HIDDEN}@`],
];

/** Shorter ones would be found in words that say nothing. */
const MIN_LENGTH = 6;

/**
 * Makes what takes secrets out of a line of JSON: by key at any depth, by what they look like,
 * and the very ones that are given, wherever they turn up.
 */
export function createRedactor(secrets: readonly (string | undefined)[]): (line: string) => string {
  const known = secrets
    .filter((secret): secret is string => secret !== undefined && secret.length >= MIN_LENGTH)
    // As it stands inside a string of JSON.
    .map((secret) => JSON.stringify(secret).slice(1, -1))
    // One may be part of another.
    .sort((a, b) => b.length - a.length);
  return (line) => {
    let text = line;
    for (const secret of known) text = text.replaceAll(secret, HIDDEN);
    text = text.replace(SECRET_KEY, `"$1":"${HIDDEN}"`);
    for (const [pattern, instead] of SECRET_TEXT) text = text.replace(pattern, instead);
    return text;
  };
}

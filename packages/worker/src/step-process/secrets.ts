/** The replacement for a secret in a log. */
const MASK = "***";

/** Shorter values appear by chance, and hiding them would make logs unreadable. */
const MIN_LENGTH = 6;

const SECRET_NAME =
  /(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIALS?|CREDS|AUTH$|COOKIE|DSN|PAT)(_|$)/i;

/**
 * The values of an environment that must not appear in a log, longest first: values of variables whose
 * name has a part such as `KEY`, `TOKEN`, `SECRET` or `PASSWORD`, and passwords in URLs. Each is also
 * listed as JSON and URLs escape it, and by its lines, because programs print line by line. Values
 * shorter than six characters are left out.
 */
export function secretsOf(environment: Readonly<Record<string, string | undefined>>): string[] {
  const values = Object.entries(environment).flatMap(([name, value = ""]) => [
    // PWD and OLDPWD are folders.
    ...(SECRET_NAME.test(name) && !/^(OLD)?PWD$/.test(name) ? [value] : []),
    ...passwordIn(value),
  ]);
  const forms = [...values, ...values.flatMap(linesOf)].flatMap((value) => [
    value,
    // A program may print it with or without the line break at its end.
    value.trim(),
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value.toWellFormed()),
  ]);
  return [...new Set(forms)]
    .filter((form) => form.length >= MIN_LENGTH)
    .sort((one, other) => other.length - one.length);
}

/** A line break, including as `.env` files and JSON write it. */
const LINE_BREAK = /\r\n|\r|\n|\\r|\\n/;

/** A line that every key file has and that is no secret: `-----BEGIN PRIVATE KEY-----`. */
const ARMOUR = /^-----[A-Z0-9 ]+-----$/;

/** The lines of a value that has several. */
function linesOf(value: string): string[] {
  const lines = value.split(LINE_BREAK).map((line) => line.trim());
  return lines.length > 1 ? lines.filter((line) => !ARMOUR.test(line)) : [];
}

function passwordIn(value: string): string[] {
  const password = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]*?:([^/?#\s]+)@/i.exec(value)?.[1];
  if (password === undefined) return [];
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

/** Hides secrets in text. */
export interface Scrubber {
  /** A whole text. */
  scrub(text: string): string;
  /** A text in pieces. A secret may begin in one and end in another. */
  stream(): { push(text: string): string; end(): string };
}

/** Matches nothing, not even empty text. */
const NEVER = "(?!)";

/** @param secrets - As `secretsOf` gives them. */
export function createScrubber(secrets: readonly string[]): Scrubber {
  const pattern = new RegExp(secrets.map(literally).join("|") || NEVER, "g");
  const scrub = (text: string) => text.replace(pattern, MASK);
  const longest = secrets[0]?.length ?? 0;
  const firstCharacters = new Set(secrets.map((secret) => secret[0]));
  // A key file has a hundred long lines. Most positions of a text begin none of them.
  const mayBeginSecret = (text: string, at: number) =>
    firstCharacters.has(text[at]) && secrets.some((secret) => isBeginning(text.slice(at), secret));

  /** The position to cut a text at, because the rest may be the beginning of a secret. */
  function cutOf(text: string): number {
    let cut = Math.max(0, text.length - longest + 1);
    while (cut < text.length && !mayBeginSecret(text, cut)) cut += 1;
    // But not inside a whole secret.
    for (const { index, 0: found } of text.matchAll(pattern)) {
      if (index < cut && index + found.length > cut) return index + found.length;
    }
    return cut;
  }

  return {
    scrub,
    stream() {
      let held = "";
      return {
        push(text) {
          const whole = held + text;
          const cut = cutOf(whole);
          held = whole.slice(cut);
          return scrub(whole.slice(0, cut));
        },
        end() {
          const rest = scrub(held);
          held = "";
          return rest;
        },
      };
    },
  };
}

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

const isBeginning = (text: string, secret: string): boolean =>
  text.length < secret.length && secret.startsWith(text);

/** Credentials of Loom itself, which no step needs. */
const OWN = [
  "DATABASE_URL",
  "LOOM_JOIN_TOKEN",
  "LOOM_NODE_KEY",
  "LOOM_TOKEN",
  "OPTIMALOS_TOKEN",
  "SUPABASE_SECRET_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
];

/** The environment for steps: the agent's, without the credentials of Loom itself. */
export const stepEnvironment = (
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => !OWN.includes(name)));

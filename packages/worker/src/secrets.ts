/** What stands in a log where a secret was. */
const MASK = "***";

/** Shorter values appear by chance: hiding them would only make logs unreadable. */
const MIN_LENGTH = 6;

const SECRET_NAME =
  /(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIALS?|CREDS|AUTH$|COOKIE|DSN|PAT)(_|$)/i;

/**
 * The values of an environment that must not appear in a log: those whose variable's name says
 * so (a part `KEY`, `TOKEN`, `SECRET`, `PASSWORD` and the like), and passwords inside of URLs;
 * also as they look in JSON and in a URL. Six characters at least, longest first.
 */
export function secretsOf(environment: Readonly<Record<string, string | undefined>>): string[] {
  const values = Object.entries(environment).flatMap(([name, value = ""]) => [
    // PWD and OLDPWD are folders.
    ...(SECRET_NAME.test(name) && !/^(OLD)?PWD$/.test(name) ? [value] : []),
    ...passwordIn(value),
  ]);
  const forms = values.flatMap((value) => [
    value,
    // What prints one often ends it with a line break that the variable has too, or has not.
    value.trim(),
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value.toWellFormed()),
  ]);
  return [...new Set(forms)]
    .filter((form) => form.length >= MIN_LENGTH)
    .sort((one, other) => other.length - one.length);
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
  /** A text that comes in pieces: a secret may begin in one and end in another. */
  stream(): { push(text: string): string; end(): string };
}

/** Matches nothing, not even the empty text. */
const NEVER = "(?!)";

/** @param secrets - As `secretsOf` gives them. */
export function createScrubber(secrets: readonly string[]): Scrubber {
  const pattern = new RegExp(secrets.map(literally).join("|") || NEVER, "g");
  const scrub = (text: string) => text.replace(pattern, MASK);
  const longest = secrets[0]?.length ?? 0;

  /** Where a text has to be cut, because what follows may be the beginning of a secret. */
  function cutOf(text: string): number {
    let cut = Math.max(0, text.length - longest + 1);
    while (cut < text.length && !secrets.some((secret) => isBeginning(text.slice(cut), secret))) {
      cut += 1;
    }
    // But not through a secret that is whole.
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

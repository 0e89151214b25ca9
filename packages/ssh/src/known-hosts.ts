import { createHmac } from "node:crypto";
import { keyType } from "./fingerprint.ts";

/** A line of a known_hosts file: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". */
export interface KnownHost {
  readonly marker: "revoked" | null;
  /** Comma-separated patterns, or one hashed name. */
  readonly hosts: string;
  readonly key: Buffer;
}

/**
 * Parses a known_hosts file exactly as OpenSSH does (its hostfile.c). Lines that cannot be read are
 * skipped, and so are certificate authorities, because host certificates are not supported.
 */
export const parseKnownHosts = (text: string): KnownHost[] =>
  text.split("\n").flatMap((line) => readLine(line) ?? []);

/** Only spaces and tabs separate parts: a carriage return belongs to the part before it. */
function readLine(line: string): KnownHost | undefined {
  const [first = "", ...others] = line.split(/[ \t]+/).filter((part) => part !== "");
  if (first.startsWith("#")) return undefined;
  // As in OpenSSH, except that a tab may follow a marker, so that no revocation is missed.
  const marker = first.startsWith("@") ? first : null;
  if (marker !== null && marker !== "@revoked") return undefined;
  const [hosts = "", type = "", base64 = ""] = marker === null ? [first, ...others] : others;
  if (hosts === "" || hosts.startsWith("@")) return undefined;
  const key = decodeKey(type, base64);
  return key && { marker: marker === null ? null : "revoked", hosts, key };
}

/** RSA keys may also be listed under the names of their signatures. */
const RSA = new Set(["ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"]);

function decodeKey(type: string, base64: string): Buffer | undefined {
  // Removes the line ending of a file that was written on Windows.
  const digits = base64.replaceAll(/[\r\v\f]/g, "");
  const key = Buffer.from(digits, "base64");
  if (key.toString("base64") !== digits || !isWhole(key)) return undefined;
  const found = keyType(key);
  return found === type || (found === "ssh-rsa" && RSA.has(type)) ? key : undefined;
}

/** A key is a sequence of parts with their lengths before them, its kind first: RFC 4253, 6.6. */
function isWhole(key: Buffer): boolean {
  let at = 0;
  let parts = 0;
  for (; at + 4 <= key.length; parts += 1) at += 4 + key.readUInt32BE(at);
  return at === key.length && parts >= 2;
}

/** Returns the name under which ssh looks for a host that listens on another port than 22. */
export const hostAndPort = (name: string, port: number): string =>
  port === 22 ? name : `[${name}]:${port}`;

/** OpenSSH ignores a list with a longer pattern. */
const MAX_PATTERN = 1_022;

/** Whether a line applies to a name. */
export function namesHost({ hosts }: Pick<KnownHost, "hosts">, name: string): boolean {
  const wanted = name.toLowerCase();
  if (hosts.startsWith("|")) return hashMatches(hosts, wanted);
  let named = false;
  for (const entry of hosts.toLowerCase().split(",")) {
    const isNegated = entry.startsWith("!");
    const pattern = isNegated ? entry.slice(1) : entry;
    if (pattern.length > MAX_PATTERN) return false;
    if (!matchesPattern(wanted, pattern)) continue;
    // A negated pattern wins in any position.
    if (isNegated) return false;
    named = true;
  }
  return named;
}

/** `|1|salt|hash`: HMAC-SHA1 of the name, as `ssh-keygen -H` writes it. */
function hashMatches(hosts: string, name: string): boolean {
  const [, salt, hash] = /^\|1\|([^|]*)\|([^|]*)$/.exec(hosts) ?? [];
  if (salt === undefined || hash === undefined) return false;
  return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
}

/**
 * Matches a pattern: `*` stands for any text and `?` for any character; nothing else is special.
 *
 * After a mismatch only the last `*` takes one more character, so the time is at most the product
 * of the lengths.
 */
function matchesPattern(text: string, pattern: string): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length) {
    if (pattern[next] === "*") {
      star = next;
      starAt = at;
      next += 1;
    } else if (next < pattern.length && (pattern[next] === "?" || pattern[next] === text[at])) {
      at += 1;
      next += 1;
    } else if (star >= 0) {
      starAt += 1;
      at = starAt;
      next = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[next] === "*") next += 1;
  return next === pattern.length;
}

import { createHmac } from "node:crypto";

/** A line of a known_hosts file: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". */
export interface KnownHost {
  readonly marker: "revoked" | null;
  /** Comma-separated patterns, or one hashed name. */
  readonly hosts: string;
  readonly type: string;
  readonly key: Buffer;
}

/**
 * Reads a known_hosts file. Lines that cannot be read are skipped, as ssh does, and so are
 * certificate authorities: host certificates are not supported.
 */
export function parseKnownHosts(text: string): KnownHost[] {
  return text.split("\n").flatMap((line) => {
    const [, marker, hosts, type, base64] =
      /^\s*(?:@(\S+)\s+)?([^#@\s]\S*)\s+(\S+)\s+([A-Za-z0-9+/]+={0,2})(?:\s.*)?$/.exec(line) ?? [];
    if (hosts === undefined || type === undefined || base64 === undefined) return [];
    if (marker !== undefined && marker !== "revoked") return [];
    return [{ marker: marker ?? null, hosts, type, key: Buffer.from(base64, "base64") }];
  });
}

/** Whether a line is about a name. */
export function namesHost({ hosts }: KnownHost, name: string): boolean {
  const wanted = name.toLowerCase();
  if (hosts.startsWith("|")) return hashMatches(hosts, wanted);
  const patterns = hosts.toLowerCase().split(",");
  const matches = (pattern: string) => toRegExp(pattern).test(wanted);
  // A negated pattern wins, wherever it stands.
  if (patterns.some((pattern) => pattern.startsWith("!") && matches(pattern.slice(1))))
    return false;
  return patterns.some((pattern) => !pattern.startsWith("!") && matches(pattern));
}

/** `|1|salt|hash`: HMAC-SHA1 of the name, as `ssh-keygen -H` writes it. */
function hashMatches(hosts: string, name: string): boolean {
  const [, magic, salt, hash] = hosts.split("|");
  if (magic !== "1" || salt === undefined || hash === undefined) return false;
  return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
}

const toRegExp = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replace(/\*+/g, ".*")
      .replaceAll("?", ".")}$`,
  );

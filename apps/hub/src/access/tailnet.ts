import { isIPv4, isIPv6 } from "node:net";
import { scopes as allScopes, type Scope } from "@loom/queue";
import type { Log } from "@loom/worker";
import { ProblemError } from "../problem.ts";
import type { Identity } from "./identity.ts";
import type { Peer } from "./peer.ts";

/** What the Tailscale daemon says of the other end of a connection. */
export interface WhoIs {
  /** Of the machine's owner; not a person where there are tags. */
  loginName: string | null;
  /** `tag:ci`; a tagged machine has no user. */
  tags: readonly string[];
  /** The key of the machine is past its time. */
  expired?: boolean;
  /** What grants of the tailnet's policy say, by name: values of all that match. */
  capabilities: Readonly<Record<string, readonly unknown[]>>;
}

/** Lets people and machines of the tailnet in by what the daemon knows of them. */
export interface TailnetAccess {
  /** This machine's addresses in the tailnet: connections to others are not asked about. */
  addresses: readonly string[];
  /** Resolves with undefined for who is not in the tailnet; rejects when the daemon cannot be asked. */
  whois(peer: { address: string; port: number }): Promise<WhoIs | undefined>;
  /** The name of the grant whose values are `{ scopes: [...] }`. */
  capability?: string;
  /** What a login or a tag may do that no grant speaks of. */
  scopesOf?: Readonly<Record<string, readonly Scope[]>>;
}

/** How long an answer holds on one connection: a grant that is taken away bites after it. */
const REMEMBER_MS = 30_000;

const isTailnetAddress = (address: string): boolean => {
  if (isIPv6(address)) return address.toLowerCase().startsWith("fd7a:115c:a1e0:");
  const [first = 0, second = 0] = address.split(".").map(Number);
  return isIPv4(address) && first === 100 && second >= 64 && second < 128;
};

/**
 * Finds out who of the tailnet makes a request. Undefined: nobody that it knows. Closed on every
 * doubt: when the daemon does not answer, nobody is let in.
 */
export function createTailnetGate(access: TailnetAccess, log: Log) {
  const remembered = new WeakMap<object, { at: number; answer: Promise<WhoIs | undefined> }>();

  function ask({ connection, remoteAddress: address, remotePort: port }: Peer) {
    const known = remembered.get(connection);
    if (known && performance.now() - known.at < REMEMBER_MS) return known.answer;
    const answer = access.whois({ address, port });
    remembered.set(connection, { at: performance.now(), answer });
    answer.catch(() => remembered.delete(connection));
    return answer;
  }

  return async (peer: Peer | undefined): Promise<Identity | undefined> => {
    if (!peer || !access.addresses.includes(peer.localAddress)) return undefined;
    if (!isTailnetAddress(peer.remoteAddress)) return undefined;
    let found: WhoIs | undefined;
    try {
      found = await ask(peer);
    } catch (error) {
      log.warn({ err: error }, "the tailnet cannot be asked who calls");
      throw new ProblemError({
        title: "Identity unavailable",
        status: 503,
        code: "IDENTITY_UNAVAILABLE",
        detail: "Tailscale on the hub's machine did not say who you are",
        hint: "try again, or send a token",
      });
    }
    return found && !found.expired ? toIdentity(found, access) : undefined;
  };
}

function toIdentity(found: WhoIs, access: TailnetAccess): Identity | undefined {
  // The login of a tagged machine is `tagged-devices`, which is nobody.
  const names = found.tags.length > 0 ? found.tags : found.loginName ? [found.loginName] : [];
  const granted = (access.capability && found.capabilities[access.capability]) || [];
  const scopes = [
    ...granted.flatMap(scopesIn),
    ...names.flatMap((name) =>
      Object.hasOwn(access.scopesOf ?? {}, name) ? (access.scopesOf?.[name] ?? []) : [],
    ),
  ];
  if (names.length === 0 || scopes.length === 0) return undefined;
  return {
    who: names.join(" "),
    scopes: [...new Set(scopes)],
    tokenId: null,
    isSession: false,
    expiresAt: null,
  };
}

function scopesIn(value: unknown): Scope[] {
  const given = typeof value === "object" && value !== null && "scopes" in value && value.scopes;
  return Array.isArray(given) ? allScopes.filter((scope) => given.includes(scope)) : [];
}

import { scopes as allScopes, type Scope } from "@loom/queue";
import { isTailnetAddress } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import { ProblemError } from "../problem.ts";
import type { Identity } from "./identity.ts";
import type { Peer } from "./peer.ts";

/** What the Tailscale daemon says of the other end of a connection, as far as the hub reads it. */
export type WhoIs =
  | {
      known: true;
      /** Of a tagged machine the tags; it has no owner. */
      identity: { kind: "tags"; tags: readonly string[] } | { kind: "user"; login: string };
      /** What the tailnet's policy grants it towards this machine: values of all grants, by name. */
      grants: ReadonlyMap<string, readonly unknown[]>;
    }
  | { known: false };

/** Lets people and machines of the tailnet in by what the daemon knows of them. */
export interface TailnetAccess {
  /** This machine's addresses in the tailnet: connections to others are not asked about. */
  addresses: readonly string[];
  /** Who is not of the tailnet is not `known`; rejects when the daemon cannot tell. */
  whois(remote: { address: string; port: number }): Promise<WhoIs>;
  /** The name of the grant whose values are `{ scopes: [...] }`. */
  capability?: string | undefined;
  /** What a login or a tag may do that no grant speaks of. */
  scopesOf?: Readonly<Record<string, readonly Scope[]>>;
}

/** How long an answer holds on one connection: a grant that is taken away bites after it. */
const REMEMBER_MS = 30_000;

/**
 * Finds out who of the tailnet makes a request. Undefined: nobody that it knows. Closed on every
 * doubt: when the daemon does not answer, nobody is let in.
 */
export function createTailnetGate(access: TailnetAccess, log: Log) {
  const remembered = new WeakMap<object, { at: number; answer: Promise<WhoIs> }>();

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
    let found: WhoIs;
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
    return found.known ? toIdentity(found, access) : undefined;
  };
}

function toIdentity(
  { identity, grants }: Extract<WhoIs, { known: true }>,
  { capability, scopesOf = {} }: TailnetAccess,
): Identity | undefined {
  const names = identity.kind === "tags" ? identity.tags : [identity.login];
  const granted = (capability && grants.get(capability)) || [];
  const named = names.flatMap((name) =>
    Object.hasOwn(scopesOf, name) ? (scopesOf[name] ?? []) : [],
  );
  const scopes = new Set([...granted.flatMap(scopesIn), ...named]);
  if (scopes.size === 0) return undefined;
  return {
    who: names.join(" "),
    scopes: [...scopes],
    tokenId: null,
    isSession: false,
    expiresAt: null,
  };
}

function scopesIn(value: unknown): Scope[] {
  const given = typeof value === "object" && value !== null && "scopes" in value && value.scopes;
  return Array.isArray(given) ? allScopes.filter((scope) => given.includes(scope)) : [];
}

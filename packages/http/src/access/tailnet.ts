import { scopes as allScopes, type Scope } from "@loom/queue";
import { isTailnetAddress, type LocalApi, localApiSource } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import { problem } from "../problem.ts";
import { type Identity, identityOf } from "./authenticate.ts";
import type { Peer } from "./origin.ts";

/** The part of the Tailscale daemon's answer about a connection that the hub reads. */
export type WhoIs =
  | {
      known: true;
      /** A tagged machine has no owner, so it is known by its tags. */
      identity: { kind: "tags"; tags: readonly string[] } | { kind: "user"; login: string };
      /** The grants of the tailnet's policy for this machine: their values by name. */
      grants: ReadonlyMap<string, readonly unknown[]>;
    }
  | { known: false };

/** How people and machines of the tailnet are let in. */
export interface TailnetAccess {
  /** This machine's addresses in the tailnet. The daemon is asked about connections to these only. */
  addresses: readonly string[];
  /** Rejects when the daemon cannot answer. A caller outside of the tailnet is not `known`. */
  whois(remote: { address: string; port: number }): Promise<WhoIs>;
  /** The name of the grant whose values are `{ scopes: [...] }`. */
  capability?: string | undefined;
  /** The scopes of a login or a tag, in addition to grants. */
  scopesOf?: Readonly<Record<string, readonly Scope[]>>;
}

/** How long an answer is used for one connection; a withdrawn grant ends after it. */
const REMEMBER_MS = 5_000;

/**
 * Identifies a caller by its tailnet connection; undefined when the tailnet does not know it. When the daemon
 * does not answer, nobody is let in.
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
      log.warn({ err: error }, "the tailnet could not identify a caller");
      throw problem("IDENTITY_UNAVAILABLE");
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
  return identityOf(names.join(" "), [...scopes]);
}

function scopesIn(value: unknown): Scope[] {
  const given = typeof value === "object" && value !== null && "scopes" in value && value.scopes;
  return Array.isArray(given) ? allScopes.filter((scope) => given.includes(scope)) : [];
}

/** The rules by which the tailnet's callers get scopes: by a grant, or by login or tag. */
export interface TailnetRules {
  capability: string | undefined;
  scopesOf: Readonly<Record<string, readonly Scope[]>>;
}

/** How often the machine's addresses are read: Tailscale may start after the hub, and change them. */
const LOOK_MS = 15_000;

/**
 * Reads this machine's tailnet addresses from the Tailscale daemon, again and again for as long as the process
 * lives. While the daemon does not say them, every caller needs a token. Without rules the answer is undefined.
 */
export async function openTailnet(
  { capability, scopesOf }: TailnetRules,
  log: Log,
  {
    daemon = localApiSource(),
    lookMs = LOOK_MS,
  }: { daemon?: Pick<LocalApi, "read" | "whois">; lookMs?: number } = {},
): Promise<TailnetAccess | undefined> {
  if (capability === undefined && Object.keys(scopesOf).length === 0) return undefined;
  const access: TailnetAccess = {
    addresses: [],
    whois: (remote) => daemon.whois(remote),
    capability,
    scopesOf,
  };
  let reported = "";
  const look = async () => {
    try {
      const { self, state, via } = await daemon.read();
      if (state !== "Running" || via !== "direct" || !self) {
        throw new Error(`Tailscale is ${state}, with ${via} networking`);
      }
      const { addresses } = self;
      if (reported !== addresses.join()) {
        log.info({ addresses }, "callers of the tailnet are identified");
      }
      reported = addresses.join();
      access.addresses = addresses;
    } catch (error) {
      // Addresses that are known stay: whether a caller is known is asked for each connection.
      if (reported !== "" || access.addresses.length > 0) return;
      reported = "not yet";
      log.warn(
        { err: error },
        "callers of the tailnet cannot be identified: until Tailscale runs, everybody needs a token",
      );
    }
  };
  await look();
  setInterval(() => void look(), lookMs).unref();
  return access;
}

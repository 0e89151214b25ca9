import { isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { isTailnetAddress, unmapped } from "../address.ts";
import { SourceError } from "../errors.ts";
import { bareName, instant, parseJson } from "../go-json.ts";
import { LOCAL_API } from "./exchange.ts";

/**
 * Who is at the other end of a connection.
 *
 * Only `known: true` identifies somebody. Everything else is a refusal with its reason, and a daemon
 * that cannot tell is an error (`SourceError`), so that nobody is let in for want of an answer.
 */
export type WhoIs = KnownCaller | UnknownCaller;

/** A machine of the tailnet, or one shared into it, and whom it acts for. */
export interface KnownCaller {
  known: true;
  /** The machine. All programs and users on it share its identity. */
  node: {
    /** Stable node id: the only key to remember a machine by. Names are used again, node keys change. */
    id: string;
    /** Full name, lower case, without the final dot. Foreign suffix: shared in from another tailnet. */
    fqdn: string;
    /** Operating system as the machine itself reports it, such as `"linux"`; `""` when unknown. */
    os: string;
    /** Its addresses of both families, without prefix lengths. */
    addresses: string[];
    /** `undefined` when its key never expires, as for tagged machines. */
    keyExpiresAt: Date | undefined;
  };
  /**
   * Whom the machine acts for: its tags when it has any, else the person who logged it in. A tagged
   * machine has no owner; the control server's placeholder for one is never reported as a person.
   */
  identity:
    | { kind: "tags"; tags: readonly [string, ...string[]] }
    | {
        kind: "user";
        /** Decimal user id, as text: it may exceed 2^53. */
        id: string;
        /** Login name, such as an email address; on headscale an email or a user name. */
        login: string;
        displayName: string;
        /** Empty unless the control server tells groups. */
        groups: readonly string[];
      };
  /**
   * What the tailnet's policy grants this caller towards this machine: application capability, such as
   * `"loom.example/cap/hub"`, to the values of all matching grants in order. A key without values is a
   * grant too. Not the node's own attributes, which grant nothing.
   */
  grants: ReadonlyMap<string, readonly unknown[]>;
}

export interface UnknownCaller {
  known: false;
  /**
   * `NOT_TAILNET`: the address is not one that Tailscale gives to nodes, so it was not asked about.
   * `NO_MATCH`: the daemon knows no such connection. `EXPIRED`: the node's key has expired.
   * `SHAREE`: a device of somebody whom this machine was shared with, not a member of the tailnet.
   */
  reason: "NOT_TAILNET" | "NO_MATCH" | "EXPIRED" | "SHAREE";
  /** For logs and people: the reason, and what would have made it succeed. */
  message: string;
}

/** A remote end of a TCP connection: `socket.remoteAddress` and `socket.remotePort`. */
export interface RemoteEnd {
  address: string;
  port: number;
}

/** Cannot identify the caller, and why. */
export const unknownCaller = (reason: UnknownCaller["reason"], who: string): UnknownCaller => ({
  known: false,
  reason,
  message: `${who} ${refusals[reason]}`,
});

const refusals = {
  NOT_TAILNET: "is not a tailnet address: connect to this machine's tailnet address",
  NO_MATCH: "is not known to tailscaled: connect over the tailnet, from a machine of it",
  EXPIRED: "has an expired key: log in again on it (`tailscale up --force-reauth`)",
  SHAREE: "belongs to somebody outside of the tailnet: use a machine of this tailnet",
} as const;

/**
 * The question for tailscaled, or `undefined` when the address cannot be of the tailnet.
 *
 * The check comes first because of its price: an unknown address makes the daemon search for up to
 * 180 ms (tailscale wgengine/netstack proxymap); for the same reason the protocol is named.
 *
 * @throws TypeError for what is no remote end of a connection.
 */
export function whoIsPath({ address, port }: RemoteEnd): string | undefined {
  if (!isIP(address) || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TypeError(
      `${JSON.stringify({ address, port })} is no remote end: pass remoteAddress and remotePort of an open socket`,
    );
  }
  if (!isTailnetAddress(address)) return undefined;
  const ip = unmapped(address);
  const addr = isIPv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
  return `whois?${new URLSearchParams({ proto: "tcp", addr })}`;
}

// LocalAPI `whois`: tailscale client/tailscale/apitype WhoIsResponse. Unlike a status, this admits
// people: what an identity is made of is checked, and a surprise in it refuses rather than falls back.
const id = z.union([z.string().min(1), z.number().transform(String)]);
const schema = z.object({
  Node: z.object({
    StableID: z.string().min(1),
    Name: z.string().min(1),
    Tags: z.array(z.string().min(1)).nullish(),
    Addresses: z.array(z.string()).nullish(),
    Expired: z.boolean().nullish(),
    KeyExpiry: z.string().catch(""),
    Hostinfo: z.object({ OS: z.string().catch(""), ShareeNode: z.boolean().nullish() }).nullish(),
  }),
  UserProfile: z.object({
    ID: id,
    LoginName: z.string(),
    DisplayName: z.string().catch(""),
    Groups: z.array(z.string()).nullish(),
  }),
  CapMap: z.record(z.string(), z.array(z.unknown()).nullable()).nullish(),
});

/** What the control server calls the owner of machines that have none. */
const NOBODY = "tagged-devices";

/**
 * Reads the daemon's answer about a caller.
 *
 * @throws SourceError `BAD_RESPONSE` when it does not say clearly who that is.
 */
export function parseWhoIs(json: string): WhoIs {
  const answer = parseJson(json, { schema, source: LOCAL_API, what: "an identity" });
  const { Node, UserProfile, CapMap } = answer;
  const fqdn = bareName(Node.Name);
  if (Node.Expired) return unknownCaller("EXPIRED", fqdn);
  if (Node.Hostinfo?.ShareeNode) return unknownCaller("SHAREE", fqdn);
  return {
    known: true,
    node: {
      id: Node.StableID,
      fqdn,
      os: Node.Hostinfo?.OS ?? "",
      addresses: (Node.Addresses ?? []).map((prefix) => prefix.replace(/\/\d+$/, "")),
      keyExpiresAt: instant(Node.KeyExpiry),
    },
    identity: identityOf(Node.Tags ?? [], UserProfile, fqdn),
    grants: new Map(Object.entries(CapMap ?? {}).map(([name, values]) => [name, values ?? []])),
  };
}

function identityOf(
  [tag, ...more]: string[],
  user: z.output<typeof schema>["UserProfile"],
  fqdn: string,
): KnownCaller["identity"] {
  if (tag !== undefined) return { kind: "tags", tags: [tag, ...more] };
  if (user.LoginName === "" || user.LoginName === NOBODY) {
    throw new SourceError(
      `tailscaled names neither tags nor an owner of ${fqdn}; see \`tailscale whois\` for it`,
      { code: "BAD_RESPONSE", source: LOCAL_API },
    );
  }
  return {
    kind: "user",
    id: user.ID,
    login: user.LoginName,
    displayName: user.DisplayName,
    groups: user.Groups ?? [],
  };
}

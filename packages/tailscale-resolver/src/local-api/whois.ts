import { isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { isTailnetAddress, unmapIpv4 } from "../address.ts";
import { SourceError } from "../errors.ts";
import { bareName, instant, parseJson } from "../go-json.ts";
import { LOCAL_API } from "./exchange.ts";

/**
 * The identity at the other end of a connection.
 *
 * Only `known: true` identifies a caller. Any other result is a refusal with its reason. If the
 * daemon cannot answer, the call throws a `SourceError`, so that a missing answer never admits
 * anybody.
 */
export type WhoIs = KnownCaller | UnknownCaller;

/** A machine of the tailnet or one shared into it, and the identity that it acts for. */
export interface KnownCaller {
  known: true;
  /** The machine. All its programs and users share its identity. */
  node: {
    /**
     * The stable node id, the only key to remember a machine by: names are reused, and node keys
     * change.
     */
    id: string;
    /**
     * The full name in lower case, without the final dot. A foreign suffix means that the node is
     * shared in from another tailnet.
     */
    fqdn: string;
    /** The operating system as the machine reports it, such as `"linux"`; `""` when unknown. */
    os: string;
    /** The addresses of both families, without prefix lengths. */
    addresses: string[];
    /** `undefined` when its key never expires, as for tagged machines. */
    keyExpiresAt: Date | undefined;
  };
  /**
   * The identity that the machine acts for: its tags if it has any, else the person who logged it
   * in. A tagged machine has no owner. The control server's placeholder owner is never reported as
   * a person.
   */
  identity:
    | { kind: "tags"; tags: readonly [string, ...string[]] }
    | {
        kind: "user";
        /** The decimal user id, as text because it may exceed 2^53. */
        id: string;
        /**
         * The login name, such as an email address. On headscale it is an email address or a user
         * name.
         */
        login: string;
        displayName: string;
        /** Empty unless the control server reports groups. */
        groups: readonly string[];
      };
  /**
   * The grants of the tailnet's policy to this caller towards this machine. The key is an
   * application capability such as `"loom.example/cap/hub"`; the value lists the values of all
   * matching grants in order. A key without values is a grant too. The node's own attributes are
   * not included, because they grant nothing.
   */
  grants: ReadonlyMap<string, readonly unknown[]>;
}

export interface UnknownCaller {
  known: false;
  /**
   *
   * - `NOT_TAILNET`: the address is outside the ranges that Tailscale assigns, so tailscaled was
   *   not asked.
   * - `NO_MATCH`: the daemon does not know the connection.
   * - `EXPIRED`: the node's key has expired.
   * - `SHAREE`: the device belongs to a person this machine was shared with, who is not a member of
   *   the tailnet.
   */
  reason: "NOT_TAILNET" | "NO_MATCH" | "EXPIRED" | "SHAREE";
  /** The reason and its fix, for logs and people. */
  message: string;
}

/** The remote end of a TCP connection: `socket.remoteAddress` and `socket.remotePort`. */
export interface RemoteEnd {
  address: string;
  port: number;
}

/** Creates the result for a caller that cannot be identified. */
export const unknownCaller = (reason: UnknownCaller["reason"], who: string): UnknownCaller => ({
  known: false,
  reason,
  message: `${who} ${refusals[reason]}`,
});

const refusals = {
  NOT_TAILNET: "is not a tailnet address: connect to this machine's tailnet address",
  NO_MATCH: "is not known to tailscaled: connect over the tailnet, from one of its machines",
  EXPIRED: "has an expired key: log in again on it (`tailscale up --force-reauth`)",
  SHAREE: "belongs to a person outside the tailnet: use a machine of this tailnet",
} as const;

/**
 * Returns the request for tailscaled, or `undefined` when the address cannot be in the tailnet.
 *
 * The range is checked first because a lookup is expensive: for an unknown address the daemon
 * searches for up to 180 ms (tailscale wgengine/netstack proxymap). The protocol is named for the
 * same reason.
 *
 * @throws TypeError when the argument is not the remote end of a connection.
 */
export function whoIsPath({ address, port }: RemoteEnd): string | undefined {
  if (!isIP(address) || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TypeError(
      `${JSON.stringify({ address, port })} is not the remote end of a connection: pass remoteAddress and remotePort of an open socket`,
    );
  }
  if (!isTailnetAddress(address)) return undefined;
  const ip = unmapIpv4(address);
  const addr = isIPv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
  return `whois?${new URLSearchParams({ proto: "tcp", addr })}`;
}

// LocalAPI `whois`: tailscale client/tailscale/apitype WhoIsResponse. Unlike a status, this admits
// people. So every field of an identity is checked, and an unexpected value causes a refusal
// instead of a default.
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

/** The control server's owner of machines that have none. */
const NOBODY = "tagged-devices";

/**
 * Parses the daemon's answer about a caller.
 *
 * @throws SourceError `BAD_RESPONSE` when the answer does not clearly identify the caller.
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

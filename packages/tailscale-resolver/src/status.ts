import type { Path } from "./path.ts";

/**
 * What a source read: one machine's view of its tailnet, in our own words.
 *
 * Only nodes that a name can reach are in it: devices of people we share machines with, entries
 * that the engine knows and the network map does not, and Mullvad exits are left out.
 */
export interface Status {
  /** Name of the source that answered, for logs. */
  source: string;
  /** tailscaled's version, for logs. */
  version: string | undefined;
  /** tailscaled's `BackendState`; only `"Running"` vouches for the addresses. */
  state: string;
  /** Where a person logs this machine in, when the daemon waits for that. */
  authUrl: string | undefined;
  /**
   * How this machine reaches the addresses. `"direct"`: the kernel routes to them. `"proxy"`:
   * tailscaled runs with userspace networking, so a plain connect would leave by the default
   * route, to a stranger; only tailscaled's SOCKS5 or HTTP proxy gets there.
   */
  via: "direct" | "proxy";
  /** What completes a label of our own tailnet to a full name: `tail1234.ts.net`; `""` when unknown. */
  suffix: string;
  /** This machine; `undefined` when the source does not know (logged out, static without `self`). */
  self: Peer | undefined;
  /** The other machines, in the source's order. */
  peers: Peer[];
}

/** A machine of the tailnet, or one shared into it. */
export interface Peer {
  /** What `resolve` takes for it: the label in our own tailnet, the FQDN of a shared-in node. */
  name: string;
  /** Stable node id; unlike the name and the node key it is never used again for another machine. */
  id: string;
  /** Full name, lower case, without the final dot. */
  fqdn: string;
  /** The operating system's host name: raw, and not unique. */
  hostName: string;
  os: string;
  /** IPv4 address; `undefined` when there is none, or none in the tailnet's range. */
  ip: string | undefined;
  /** All addresses as the source gave them, both families. */
  addresses: string[];
  /** The control server's view, which is false for "unknown" as well: a hint, not a verdict. */
  online: boolean;
  /** Known only while the node is offline. */
  lastSeen: Date | undefined;
  /** Its key has expired: still listed, not reachable. */
  expired: boolean;
  /** `undefined` when the key never expires. */
  keyExpiresAt: Date | undefined;
  tags: string[];
  /** Login name of the owner; `undefined` for tagged nodes, which have none. */
  owner: string | undefined;
  /** The way to it; `undefined` when idle: nothing was sent to it in the last 45 seconds. */
  path: Path | undefined;
  /** Code of its home relay (DERP region), whatever the path. */
  relay: string | undefined;
  /** True for the machine that was asked. */
  self: boolean;
}

/**
 * One machine's view of its tailnet, as a source read it.
 *
 * It holds only nodes that a name can reach. Devices of people this machine is shared with, entries
 * that only the engine knows, and Mullvad exits are left out.
 */
export interface Status {
  /** The name of the source that answered, for logs. */
  source: string;
  /** tailscaled's version, for logs. */
  version: string | undefined;
  /** tailscaled's `BackendState`. Only with `"Running"` are the addresses valid. */
  state: string;
  /** The page where a person logs this machine in, when the daemon waits for that. */
  authUrl: string | undefined;
  /**
   * How this machine reaches the addresses. With `"direct"`, the kernel routes to them. With
   * `"proxy"`, tailscaled runs with userspace networking: only its SOCKS5 or HTTP proxy reaches the
   * tailnet, and a plain connect would leave by the default route.
   */
  via: "direct" | "proxy";
  /**
   * The suffix that completes a label of our own tailnet to a full name, such as `tail1234.ts.net`;
   * `""` when unknown.
   */
  suffix: string;
  /**
   * This machine; `undefined` when the source does not know it (logged out, static without `self`).
   */
  self: Peer | undefined;
  /** The other machines, in the source's order. */
  peers: Peer[];
}

/** A machine of the tailnet, or one shared into it. */
export interface Peer {
  /**
   * The name that `resolve` accepts: the label in our own tailnet, the FQDN of a shared-in node.
   */
  name: string;
  /**
   * The stable node id. Unlike the name and the node key, it is never reused for another machine.
   */
  id: string;
  /** The full name in lower case, without the final dot. */
  fqdn: string;
  /** The host name that the operating system reports. It is not unique. */
  hostName: string;
  os: string;
  /** The IPv4 address; `undefined` when there is none in the tailnet's range. */
  ip: string | undefined;
  /** All addresses of both families, as the source reported them. */
  addresses: string[];
  /**
   * The online state that the control server reports. It is false for "unknown" too, so it is only
   * a hint.
   */
  online: boolean;
  /** Set only while the node is offline. */
  lastSeen: Date | undefined;
  /** Its key has expired: the node is listed but not reachable. */
  expired: boolean;
  /** `undefined` when the key never expires. */
  keyExpiresAt: Date | undefined;
  tags: string[];
  /** The login name of the owner; `undefined` for tagged nodes, which have no owner. */
  owner: string | undefined;
  /** The path to it; `undefined` when nothing was sent to it in the last 45 seconds. */
  path: Path | undefined;
  /** The code of its home relay (DERP region), even when the path does not use it. */
  relay: string | undefined;
  /** Whether this is the machine that was asked. */
  self: boolean;
}

/**
 * The path that packets to a node take now.
 *
 * - `direct`: from machine to machine, to that `ip:port`.
 * - `peer-relay`: through another node of the tailnet.
 * - `relay`: through a DERP server, named by the code of its region. It is slower, and the first
 *   packets of a conversation often take it.
 */
export type Path =
  | { kind: "direct"; endpoint: string }
  | { kind: "peer-relay"; endpoint: string }
  | { kind: "relay"; region: string };

/**
 * Chooses the path from three facts. tailscaled fills in the best one and sets the others to `""`.
 */
export function pathOf(facts: {
  direct: string;
  peerRelay: string;
  relay: string;
}): Path | undefined {
  if (facts.direct !== "") return { kind: "direct", endpoint: facts.direct };
  if (facts.peerRelay !== "") return { kind: "peer-relay", endpoint: facts.peerRelay };
  if (facts.relay !== "") return { kind: "relay", region: facts.relay };
  return undefined;
}

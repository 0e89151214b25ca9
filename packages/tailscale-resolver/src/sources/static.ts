import { isIP, isIPv4 } from "node:net";
import { normaliseName } from "../node-name.ts";
import type { Source } from "../source.ts";
import type { Peer, Status } from "../status.ts";

/**
 * Creates a source from a fixed list, for tests and for machines without Tailscale.
 *
 * All nodes count as online. Any address is allowed, including LAN and loopback addresses.
 *
 * @param nodes - Maps a name to an IP address. A name with dots matches as a whole.
 * @param options.self - The name of this machine, one of `nodes`.
 * @throws TypeError when an address is invalid, a name occurs twice, or `self` is not listed.
 */
export function staticSource(
  nodes: Record<string, string>,
  options: { self?: string | undefined } = {},
): Source {
  const self = options.self === undefined ? undefined : normaliseName(options.self);
  const peers = Object.entries(nodes).map(([name, address]) => toPeer(name, address, self));
  const names = new Set(peers.map(({ name }) => name));
  if (names.size < peers.length) {
    throw new TypeError("two node names differ only in case or a final dot: keep one of them");
  }
  if (self !== undefined && !names.has(self)) {
    throw new TypeError(`self is ${JSON.stringify(self)}, which is not among the nodes: add it`);
  }
  const status: Status = {
    source: "static",
    version: undefined,
    state: "Running",
    authUrl: undefined,
    via: "direct",
    suffix: "",
    self: peers.find((peer) => peer.self),
    peers: peers.filter((peer) => !peer.self),
  };
  return {
    name: "static",
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      return status;
    },
  };
}

function toPeer(key: string, address: string, self: string | undefined): Peer {
  if (!isIP(address)) {
    throw new TypeError(
      `node ${key} has the address ${JSON.stringify(address)}: give an IP address`,
    );
  }
  const name = normaliseName(key);
  return {
    name,
    id: `static:${name}`,
    fqdn: name,
    hostName: name,
    os: "",
    ip: isIPv4(address) ? address : undefined,
    addresses: [address],
    online: true,
    lastSeen: undefined,
    expired: false,
    keyExpiresAt: undefined,
    tags: [],
    owner: undefined,
    path: undefined,
    relay: undefined,
    self: name === self,
  };
}

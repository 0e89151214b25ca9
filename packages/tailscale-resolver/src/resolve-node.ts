import { isIP, isIPv4, isIPv6 } from "node:net";
import { includesAddress } from "./address.ts";
import {
  AddressOutOfRangeError,
  AmbiguousNameError,
  KeyExpiredError,
  NoAddressError,
  NodeNotFoundError,
  NoIpv4Error,
  NotRunningError,
} from "./errors.ts";
import type { Peer, Status } from "./status.ts";
import { suggestNames } from "./suggest-names.ts";

/**
 * Finds the node of a name and vouches for its IPv4 address.
 *
 * A bare label names a node of our own tailnet; a node shared into it has to be called by its full
 * name. The system's resolver is never asked: it would answer with LAN and mDNS addresses.
 *
 * @param name - As `normaliseName` returns it; an IP literal stands for the node that has it.
 */
export function resolveNode(status: Status, name: string): Peer & { ip: string } {
  requireRunning(status);
  const node = findNode(status, name);
  if (node.expired) throw new KeyExpiredError(node.fqdn, node.keyExpiresAt);
  return { ...node, ip: ipv4Of(node) };
}

/**
 * Refuses a status whose addresses are not in force.
 *
 * tailscaled keeps its list when it is stopped: addresses and `Online: true` included.
 */
export function requireRunning(status: Status): void {
  if (status.state !== "Running") throw new NotRunningError(status.state, status.authUrl);
}

function findNode({ self, peers }: Status, name: string): Peer {
  const nodes = self ? [...peers, self] : peers;
  const matches = isIP(name)
    ? (node: Peer) => includesAddress(node.addresses, name)
    : (node: Peer) => node.name === name || node.fqdn === name;
  // One id is one machine, should the source list it twice.
  const found = new Map(nodes.filter(matches).map((node) => [node.id, node]));
  const [node, ...others] = found.values();
  if (node && others.length === 0) return node;
  if (node) throw new AmbiguousNameError(name, [node, ...others]);
  throw new NodeNotFoundError(name, {
    suggestions: suggestNames(name, nodes),
    known: nodes.map((each) => each.name).sort(),
  });
}

function ipv4Of({ ip, fqdn, addresses }: Peer): string {
  if (ip !== undefined) return ip;
  const outside = addresses.find((address) => isIPv4(address));
  if (outside !== undefined) throw new AddressOutOfRangeError(fqdn, outside);
  const ipv6 = addresses.find((address) => isIPv6(address));
  if (ipv6 !== undefined) throw new NoIpv4Error(fqdn, ipv6);
  throw new NoAddressError(fqdn);
}

import { isIP, isIPv4, isIPv6 } from "node:net";
import { suggestNames } from "@loom/did-you-mean";
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
import { firstLabel, sanitiseHostName } from "./node-name.ts";
import type { Peer, Status } from "./status.ts";

/**
 * Finds the node of a name and checks that its IPv4 address is valid.
 *
 * A bare label names a node of our own tailnet; a node shared into it needs its full name. The
 * system's resolver is never asked, because it would answer with LAN and mDNS addresses.
 *
 * @param name - As `normaliseName` returns it. An IP literal stands for the node that has it.
 */
export function resolveNode(status: Status, name: string): Peer & { ip: string } {
  requireRunning(status);
  const node = findNode(status, name);
  if (node.expired) throw new KeyExpiredError(node.fqdn, node.keyExpiresAt);
  return { ...node, ip: ipv4Of(node) };
}

/**
 * Refuses a status whose addresses are not valid.
 *
 * A stopped tailscaled keeps its list of nodes, with addresses and `Online: true`.
 */
export function requireRunning(status: Status): void {
  if (status.state !== "Running") throw new NotRunningError(status.state, status.authUrl);
}

function findNode({ self, peers }: Status, name: string): Peer {
  const nodes = self ? [...peers, self] : peers;
  const matches = isIP(name)
    ? (node: Peer) => includesAddress(node.addresses, name)
    : (node: Peer) => node.name === name || node.fqdn === name;
  // A source may list a node twice. One id is one machine.
  const found = new Map(nodes.filter(matches).map((node) => [node.id, node]));
  const [node, ...others] = found.values();
  if (node && others.length === 0) return node;
  if (node) throw new AmbiguousNameError(name, [node, ...others]);
  throw new NodeNotFoundError(name, {
    suggestions: suggest(name, nodes),
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

/** Suggests names that `resolve` accepts, best first, at most three. */
function suggest(name: string, nodes: readonly Peer[]): string[] {
  const hostName = sanitiseHostName(name);
  // The label of a shared-in node, the right label with a wrong suffix, or the host name.
  const isAlias = (node: Peer) =>
    firstLabel(node.fqdn) === firstLabel(name) ||
    (hostName !== "" && sanitiseHostName(node.hostName) === hostName);
  const aliases = nodes.filter(isAlias).map((node) => node.name);
  const similar = suggestNames(
    name,
    nodes.map((node) => node.name),
  );
  return [...new Set([...aliases.sort(), ...similar])].slice(0, 3);
}

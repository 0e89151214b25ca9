import { BlockList, isIP, isIPv4 } from "node:net";

const family = (ip: string) => (isIPv4(ip) ? "ipv4" : "ipv6");

/** Tailscale's share of the carrier-grade NAT range, and its unique local prefix. */
const tailnet = new BlockList();
tailnet.addSubnet("100.64.0.0", 10, "ipv4");
tailnet.addSubnet("fd7a:115c:a1e0::", 48, "ipv6");

/** Inside those, but never a node's: ChromeOS's own, and tailscaled's services: net/tsaddr. */
const reserved = new BlockList();
reserved.addSubnet("100.115.92.0", 23, "ipv4");
reserved.addAddress("100.100.100.100", "ipv4");
reserved.addAddress("fd7a:115c:a1e0::53", "ipv6");

/**
 * Whether Tailscale gives such an address to nodes, of either family: what an address can tell of a
 * caller before anybody is asked. An IPv4 address mapped into IPv6 counts as what it is.
 */
export function isTailnetAddress(ip: string): boolean {
  return isIP(ip) !== 0 && tailnet.check(ip, family(ip)) && !reserved.check(ip, family(ip));
}

/** Whether Tailscale gives such an IPv4 address to nodes. */
export const isTailnetIpv4 = (ip: string): boolean => isIPv4(ip) && isTailnetAddress(ip);

/** A dual-stack socket reports an IPv4 caller as `::ffff:100.64.0.1`; tailscaled knows it without. */
export const unmapped = (ip: string): string => ip.replace(/^::ffff:(?=[\d.]+$)/i, "");

/** Whether an address is in the list, however it is written (`::ffff:100.64.0.1`, `FD7A::0:1`). */
export function includesAddress(addresses: string[], ip: string): boolean {
  const wanted = new BlockList();
  wanted.addAddress(ip, family(ip));
  return addresses.some((address) => wanted.check(address, family(address)));
}

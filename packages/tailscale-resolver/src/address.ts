import { BlockList, isIP, isIPv4 } from "node:net";

const family = (ip: string) => (isIPv4(ip) ? "ipv4" : "ipv6");

/** The part of the carrier-grade NAT range that Tailscale uses, and its unique local prefix. */
const tailnet = new BlockList();
tailnet.addSubnet("100.64.0.0", 10, "ipv4");
tailnet.addSubnet("fd7a:115c:a1e0::", 48, "ipv6");

/**
 * Parts of those ranges that no node gets: the range of ChromeOS, and tailscaled's own services
 * (net/tsaddr).
 */
const reserved = new BlockList();
reserved.addSubnet("100.115.92.0", 23, "ipv4");
reserved.addAddress("100.100.100.100", "ipv4");
reserved.addAddress("fd7a:115c:a1e0::53", "ipv6");

/**
 * Whether an IPv4 or IPv6 address is in the ranges that Tailscale assigns to nodes. It does not ask
 * tailscaled. An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
 */
export function isTailnetAddress(ip: string): boolean {
  return isIP(ip) !== 0 && tailnet.check(ip, family(ip)) && !reserved.check(ip, family(ip));
}

/** Whether an address is an IPv4 address in the range that Tailscale assigns to nodes. */
export const isTailnetIpv4 = (ip: string): boolean => isIPv4(ip) && isTailnetAddress(ip);

/** Converts the form `::ffff:100.64.0.1`, which a dual-stack socket reports, to plain IPv4. */
export const unmapIpv4 = (ip: string): string => ip.replace(/^::ffff:(?=[\d.]+$)/i, "");

/** Whether an address is in the list, in any notation (`::ffff:100.64.0.1`, `FD7A::0:1`). */
export function includesAddress(addresses: string[], ip: string): boolean {
  const wanted = new BlockList();
  wanted.addAddress(ip, family(ip));
  return addresses.some((address) => wanted.check(address, family(address)));
}

import { BlockList, isIPv4 } from "node:net";

const family = (ip: string) => (isIPv4(ip) ? "ipv4" : "ipv6");

/** Tailscale's share of the carrier-grade NAT range. */
const tailnet = new BlockList();
tailnet.addSubnet("100.64.0.0", 10, "ipv4");

/** Inside that range, but ChromeOS's own and never given to a node: tailscale net/tsaddr. */
const reserved = new BlockList();
reserved.addSubnet("100.115.92.0", 23, "ipv4");

/** Whether Tailscale gives such an IPv4 address to nodes. */
export const isTailnetIpv4 = (ip: string): boolean =>
  isIPv4(ip) && tailnet.check(ip) && !reserved.check(ip);

/** Whether an address is in the list, however it is written (`::ffff:100.64.0.1`, `FD7A::0:1`). */
export function includesAddress(addresses: string[], ip: string): boolean {
  const wanted = new BlockList();
  wanted.addAddress(ip, family(ip));
  return addresses.some((address) => wanted.check(address, family(address)));
}

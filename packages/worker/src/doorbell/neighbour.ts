import { BlockList, isIPv4 } from "node:net";

const neighbours = new BlockList();
neighbours.addSubnet("127.0.0.0", 8, "ipv4");
neighbours.addAddress("::1", "ipv6");
// What Tailscale gives to nodes: tailscale net/tsaddr CGNATRange, TailscaleULARange.
neighbours.addSubnet("100.64.0.0", 10, "ipv4");
neighbours.addSubnet("fd7a:115c:a1e0::", 48, "ipv6");

/** Whether an IP address is this machine's loopback or in the tailnet, however it is written. */
export const isNeighbour = (address: string): boolean =>
  neighbours.check(address, isIPv4(address) ? "ipv4" : "ipv6");

/** An address as one connects to it: a server that listens on `::` sees IPv4 as `::ffff:1.2.3.4`. */
export const unmapped = (address: string): string => address.replace(/^::ffff:(?=[\d.]+$)/i, "");

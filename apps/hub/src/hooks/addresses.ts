import { lookup as lookupHost } from "node:dns/promises";
import { BlockList, isIP, type LookupFunction } from "node:net";

// Nothing that a person would notify is there, and clouds serve the credentials of their machines at these.
const refused = new BlockList();
refused.addSubnet("169.254.0.0", 16, "ipv4");
refused.addSubnet("fe80::", 10, "ipv6");
refused.addAddress("fd00:ec2::254", "ipv6");
refused.addAddress("fd20:ce::254", "ipv6");
refused.addAddress("100.100.100.200", "ipv4");

/** A message may not go to this address. */
export class RefusedAddressError extends Error {
  override readonly name = "RefusedAddressError";
  constructor(address: string) {
    super(`${address} is a link-local address or a cloud's own, to which no message is sent`);
  }
}

/** Whether an IP address is link-local or a cloud's. All others are allowed: private networks are what Loom is for. */
export const isRefusedAddress = (address: string): boolean =>
  refused.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");

/**
 * Resolves a host name to the addresses that a message may go to. The connection uses one of these, so that a name
 * cannot resolve to another address after the check.
 *
 * @throws RefusedAddressError when one of its addresses is refused.
 */
export async function resolveHost(host: string): Promise<{ address: string; family: number }[]> {
  const found = await lookupHost(host, { all: true });
  for (const { address } of found) {
    if (isRefusedAddress(address)) throw new RefusedAddressError(address);
  }
  return found;
}

/** The same for a connection of `node:http` or `node:net`. Those do not look IP addresses up. */
export const checkedLookup: LookupFunction = (host, { all }, callback) => {
  resolveHost(host).then(
    (found) => {
      const [first] = found;
      if (all) callback(null, found);
      else callback(null, first?.address ?? "", first?.family ?? 4);
    },
    (error: NodeJS.ErrnoException) => callback(error, "", 4),
  );
};

import { z } from "zod";
import { isTailnetIpv4 } from "./address.ts";
import { bareName, instant, parseJson } from "./go-json.ts";
import { sanitiseHostName, shortName } from "./node-name.ts";
import { type Peer, pathOf, type Status } from "./status.ts";

// The JSON of LocalAPI `status` and of `tailscale status --json`: tailscale ipn/ipnstate Status.
// The format is not stable: fields come and go between versions, and Go writes empty slices and
// maps as null. So only the fields that we need are checked; an invalid value in any other field
// counts as unknown.
const text = z.string().catch("");
const flag = z.boolean().catch(false);
const userId = z.union([z.string(), z.number().transform(String)]).catch("");

const peerSchema = z.object({
  ID: z.string().nullish(),
  DNSName: z.string().nullish(),
  TailscaleIPs: z.array(z.string()).nullish(),
  HostName: text,
  OS: text,
  UserID: userId,
  Tags: z.array(z.string()).catch([]),
  Online: flag,
  Active: flag,
  LastSeen: text,
  Expired: flag,
  KeyExpiry: text,
  CurAddr: text,
  Relay: text,
  PeerRelay: text,
  ExitNodeOption: flag,
  ShareeNode: flag,
  InNetworkMap: z.boolean().catch(true),
});

const statusSchema = z.object({
  Version: text,
  BackendState: z.string(),
  AuthURL: text,
  TUN: z.boolean().catch(true), // absent before version 1.36
  MagicDNSSuffix: text,
  CurrentTailnet: z.object({ MagicDNSSuffix: text }).nullish().catch(null),
  Self: peerSchema.nullish(),
  Peer: z.record(z.string(), peerSchema.nullable()).nullish(),
  User: z.record(z.string(), z.object({ LoginName: text }).catch({ LoginName: "" })).catch({}),
});

type RawPeer = z.output<typeof peerSchema>;
type RawStatus = z.output<typeof statusSchema>;

/**
 * Parses the daemon's status document.
 *
 * @param source - The name of the source, for messages and `Status.source`.
 * @throws SourceError `BAD_RESPONSE` when it is not JSON or not a status.
 */
export function parseStatus(json: string, source: string): Status {
  const raw = parseJson(json, { schema: statusSchema, source, what: "a status of tailscaled" });
  const suffix = bareName(raw.CurrentTailnet?.MagicDNSSuffix || raw.MagicDNSSuffix);
  const listed = Object.values(raw.Peer ?? {})
    .filter((peer) => peer !== null)
    .filter(isListed);
  const self = raw.Self && isListed(raw.Self) ? raw.Self : undefined;
  // Host names are not unique, so they count only when no node has a DNS name.
  const named = [...listed, ...(self ? [self] : [])].some(({ DNSName }) => DNSName);
  const toPeer = peerReader({ suffix, byHostName: !named, users: raw.User });
  return {
    source,
    version: raw.Version || undefined,
    state: raw.BackendState,
    authUrl: raw.AuthURL || undefined,
    via: raw.TUN ? "direct" : "proxy",
    suffix,
    self: self && { ...toPeer(self), self: true },
    peers: listed.map(toPeer).filter(({ name }) => name !== ""),
  };
}

/**
 * Whether a peer is listed. It leaves out peers that the engine added before the network map did
 * (no id, no name), devices of people this machine is shared with (all have one host name), and
 * Mullvad's exits, of which there are hundreds.
 */
function isListed(raw: RawPeer): boolean {
  const mullvad = raw.ExitNodeOption && bareName(raw.DNSName).endsWith(".mullvad.ts.net");
  return Boolean(raw.ID) && raw.InNetworkMap && !raw.ShareeNode && !mullvad;
}

function peerReader(tailnet: { suffix: string; byHostName: boolean; users: RawStatus["User"] }) {
  return (raw: RawPeer): Peer => {
    const fqdn = tailnet.byHostName ? sanitiseHostName(raw.HostName) : bareName(raw.DNSName);
    const addresses = raw.TailscaleIPs ?? [];
    return {
      name: shortName(fqdn, tailnet.suffix),
      id: raw.ID ?? "",
      fqdn,
      hostName: raw.HostName,
      os: raw.OS,
      // The control server does not guarantee an order of the families.
      ip: addresses.find(isTailnetIpv4),
      addresses,
      online: raw.Online,
      lastSeen: instant(raw.LastSeen),
      expired: raw.Expired,
      keyExpiresAt: instant(raw.KeyExpiry),
      tags: raw.Tags,
      owner: raw.Tags.length > 0 ? undefined : tailnet.users[raw.UserID]?.LoginName || undefined,
      // `Relay` is the home relay, even when it is not in use.
      path: pathOf({
        direct: raw.CurAddr,
        peerRelay: raw.PeerRelay,
        relay: raw.Active ? raw.Relay : "",
      }),
      relay: raw.Relay || undefined,
      self: false,
    };
  };
}

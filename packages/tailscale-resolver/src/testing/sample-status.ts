const suffix = "moss-lantern.ts.net";

const never = "0001-01-01T00:00:00Z";

const node = (id: string, hostName: string, label: string, more: object = {}) => ({
  ID: id,
  HostName: hostName,
  DNSName: label === "" ? "" : `${label}${label.includes(".") ? "" : `.${suffix}`}.`,
  OS: "linux",
  UserID: 7001,
  TailscaleIPs: [] as string[] | null,
  Addrs: null,
  CurAddr: "",
  Relay: "fra",
  LastSeen: never,
  Online: true,
  InNetworkMap: true,
  ...more,
});

const self = node("nForgeCNTRL", "forge", "forge", {
  TailscaleIPs: ["fd7a:115c:a1e0::1:1", "100.70.0.1"],
});

const peers = [
  node("nAnvilCNTRL", "anvil", "anvil", {
    TailscaleIPs: ["100.70.0.2", "fd7a:115c:a1e0::1:2"],
    CurAddr: "192.168.7.2:41641",
    KeyExpiry: "2027-01-31T12:00:00Z",
  }),
  node("nAnvil1CNTRL", "anvil", "anvil-1", {
    TailscaleIPs: ["100.70.0.3"],
    Online: false,
    LastSeen: "2026-10-01T08:00:00.123456789Z",
  }),
  node("nKilnCNTRL", "kiln", "kiln", {
    TailscaleIPs: ["100.70.0.4"],
    UserID: 26059037925131999n,
    Active: true,
    Tags: ["tag:agent"],
    CapMap: { "https://tailscale.com/cap/file-sharing": null },
  }),
  node("nOldCNTRL", "Ada's MacBook", "old-laptop", {
    TailscaleIPs: ["100.70.0.5"],
    Online: false,
    Expired: true,
    KeyExpiry: "2026-07-04T09:00:00Z",
  }),
  node("nSixCNTRL", "six", "six", { TailscaleIPs: ["fd7a:115c:a1e0::1:6"] }),
  node("nDriftCNTRL", "drift", "drift", { TailscaleIPs: null }),
  node("nAstrayCNTRL", "astray", "astray", { TailscaleIPs: ["100.115.93.9"] }),
  node("nFarKilnCNTRL", "kiln", "kiln.quiet-harbor.ts.net", {
    TailscaleIPs: ["100.99.0.1"],
    UserID: 26059037925131574n,
  }),
  node("nFarPrinterCNTRL", "printer", "printer.quiet-harbor.ts.net", {
    TailscaleIPs: ["100.99.0.2"],
  }),
  node("nShareeCNTRL", "device-of-shared-to-user", "", {
    TailscaleIPs: ["100.99.0.3"],
    ShareeNode: true,
  }),
  node("", "", "", { TailscaleIPs: null, InNetworkMap: false }),
  node("nExitCNTRL", "se-sto-wg-001", "se-sto-wg-001.mullvad.ts.net", {
    TailscaleIPs: ["100.99.0.4"],
    ExitNodeOption: true,
  }),
];

/**
 * Returns a status document as tailscaled writes it, with one node for every situation of a name.
 *
 * forge (this machine) · anvil (online, direct path) · anvil-1 (same host name, offline) · kiln
 * (tagged, owner id beyond 2^53, relayed) · old-laptop (expired; host name "Ada's MacBook") · six
 * (IPv6 only) · drift (no address) · astray (address outside the range) · from another tailnet:
 * kiln and printer · a sharee · a ghost · a Mullvad exit.
 *
 * @param changes - Fields to replace.
 */
export const sampleStatus = (changes: object = {}) => ({
  Version: "1.102.3-tsample-gsample",
  TUN: true,
  BackendState: "Running",
  HaveNodeKey: true,
  AuthURL: "",
  TailscaleIPs: self.TailscaleIPs,
  Self: self,
  Health: [],
  MagicDNSSuffix: suffix,
  CurrentTailnet: { Name: "ada.example", MagicDNSSuffix: suffix, MagicDNSEnabled: true },
  Peer: Object.fromEntries(peers.map((peer, index) => [`nodekey:${index}`, peer])) as object | null,
  User: {
    "7001": { ID: 7001, LoginName: "ada@example.org" },
    "26059037925131574": { ID: 26059037925131574n, LoginName: "bo@example.net" },
    "26059037925131999": { ID: 26059037925131999n, LoginName: "tagged-devices" },
  },
  ClientVersion: null,
  ...changes,
});

/** Returns the document of a daemon that is logged out. */
export const loggedOut = () =>
  sampleStatus({
    BackendState: "NeedsLogin",
    AuthURL: "https://login.example/a/1",
    TailscaleIPs: null,
    Self: node("", "forge", "", { TailscaleIPs: null, InNetworkMap: false }),
    MagicDNSSuffix: "",
    CurrentTailnet: null,
    Peer: null,
    User: null,
  });

/** Returns JSON with every digit of a bigint, as Go writes its int64. */
export const toJson = (document: object): string =>
  JSON.stringify(document, (_key, value) =>
    typeof value === "bigint" ? `bigint:${value}` : value,
  ).replace(/"bigint:(\d+)"/g, "$1");

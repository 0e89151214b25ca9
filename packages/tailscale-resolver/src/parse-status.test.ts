import { describe, expect, test } from "vitest";
import { SourceError } from "./errors.ts";
import { parseStatus } from "./parse-status.ts";
import { loggedOut, sampleStatus, toJson } from "./testing/sample-status.ts";

const parse = (document: object) => parseStatus(toJson(document), "test");
const peer = (document: object, id: string) => parse(document).peers.find((each) => each.id === id);

describe("parseStatus", () => {
  test("lists the nodes a name can reach, and leaves sharees, ghosts and Mullvad exits out", () => {
    expect(parse(sampleStatus()).peers.map(({ name }) => name)).toEqual([
      "anvil",
      "anvil-1",
      "kiln",
      "old-laptop",
      "six",
      "drift",
      "astray",
      "kiln.quiet-harbor.ts.net",
      "printer.quiet-harbor.ts.net",
    ]);
  });

  test("describes a node in full", () => {
    expect(peer(sampleStatus(), "nAnvilCNTRL")).toEqual({
      name: "anvil",
      id: "nAnvilCNTRL",
      fqdn: "anvil.moss-lantern.ts.net",
      hostName: "anvil",
      os: "linux",
      ip: "100.70.0.2",
      addresses: ["100.70.0.2", "fd7a:115c:a1e0::1:2"],
      online: true,
      lastSeen: undefined,
      expired: false,
      keyExpiresAt: new Date("2027-01-31T12:00:00Z"),
      tags: [],
      owner: "ada@example.org",
      path: { kind: "direct", endpoint: "192.168.7.2:41641" },
      relay: "fra",
      self: false,
    });
  });

  test("reports the path to a node while it is in use, and the home relay always", () => {
    expect(peer(sampleStatus(), "nKilnCNTRL")).toMatchObject({
      path: { kind: "relay", region: "fra" },
      relay: "fra",
    });
    expect(peer(sampleStatus(), "nSixCNTRL")).toMatchObject({ path: undefined, relay: "fra" });
    const relayed = {
      ID: "n1",
      DNSName: "far.",
      Active: true,
      Relay: "fra",
      PeerRelay: "1.2.3.4:5",
    };
    expect(peer(sampleStatus({ Peer: { k: relayed } }), "n1")?.path).toEqual({
      kind: "peer-relay",
      endpoint: "1.2.3.4:5",
    });
  });

  test("takes the first IPv4 address, at any position", () => {
    expect(parse(sampleStatus()).self).toMatchObject({ ip: "100.70.0.1", self: true });
  });

  test("reads when an offline node was seen, to the nanosecond that Go writes", () => {
    const { lastSeen } = peer(sampleStatus(), "nAnvil1CNTRL") ?? {};
    expect(lastSeen).toEqual(new Date("2026-10-01T08:00:00.123Z"));
  });

  test("finds the owner behind an id that a JavaScript number cannot hold", () => {
    expect(toJson(sampleStatus())).toContain('"UserID":26059037925131574,');
    expect(peer(sampleStatus(), "nFarKilnCNTRL")?.owner).toBe("bo@example.net");
  });

  test("does not change a text that looks like such an id", () => {
    const HostName = 'x","UserID":26059037925131574,"ID":26059037925131574';
    const named = { ID: "n1", DNSName: "named.", HostName };
    expect(peer(sampleStatus({ Peer: { k: named } }), "n1")?.hostName).toBe(HostName);
  });

  test("gives tagged nodes no owner", () => {
    expect(peer(sampleStatus(), "nKilnCNTRL")).toMatchObject({
      tags: ["tag:agent"],
      owner: undefined,
    });
  });

  test("reads the document of a daemon that was restarted while stopped", () => {
    const forgotten = { Peer: null, User: null, CurrentTailnet: null, TailscaleIPs: null };
    const status = parse(sampleStatus({ BackendState: "Stopped", ...forgotten }));
    expect(status).toMatchObject({ state: "Stopped", authUrl: undefined, peers: [] });
  });

  test("reads the document of a daemon that is logged out", () => {
    expect(parse(loggedOut())).toEqual({
      source: "test",
      version: "1.102.3-tsample-gsample",
      state: "NeedsLogin",
      authUrl: "https://login.example/a/1",
      via: "direct",
      suffix: "",
      self: undefined,
      peers: [],
    });
  });

  test.for([
    { title: "no peers", changes: { Peer: null } },
    { title: "a peer that is null", changes: { Peer: { k: null } } },
    { title: "no users", changes: { User: null } },
    { title: "users of another shape", changes: { User: { "7001": "ada" } } },
    { title: "a suffix only in its older place", changes: { CurrentTailnet: null } },
    { title: "unknown fields", changes: { Quantum: [{ on: true }], Health: 7 } },
  ])("accepts $title", ({ changes }) => {
    expect(parse(sampleStatus(changes)).self?.name).toBe("forge");
  });

  test("accepts a peer with few fields", () => {
    const bare = { ID: "n1", DNSName: "Bare.Moss-Lantern.ts.net.", Tags: null, Online: "maybe" };
    expect(parse(sampleStatus({ Peer: { k: bare } })).peers).toMatchObject([
      { name: "bare", addresses: [], tags: [], online: false, owner: undefined },
    ]);
  });

  test("calls nodes by their host names when no node has a DNS name", () => {
    const Self = { ID: "n1", HostName: "Ada's Forge.local", DNSName: "" };
    const Peer = { k: { ID: "n2", HostName: "anvil" }, l: { ID: "n3", HostName: "我的电脑" } };
    const { self, peers } = parse(sampleStatus({ Self, Peer }));
    expect([self, ...peers].map((node) => node?.name)).toEqual(["adas-forge", "anvil"]);
  });

  test("lists neither sharees nor ghosts where host names count", () => {
    const Peer = {
      sharee: { ID: "n2", HostName: "device-of-shared-to-user", ShareeNode: true },
      ghost: { ID: "n3", HostName: "anvil", InNetworkMap: false },
    };
    const Self = { ID: "n1", HostName: "forge", DNSName: "" };
    expect(parse(sampleStatus({ Self, Peer })).peers).toEqual([]);
  });

  test("keeps host names out as soon as one node has a DNS name", () => {
    const Peer = { k: { ID: "n2", HostName: "anvil", DNSName: "" } };
    expect(parse(sampleStatus({ Peer })).peers).toEqual([]);
  });

  test.for([
    [true, "direct"],
    [false, "proxy"],
    [undefined, "direct"],
  ] as const)("reads TUN %s as %s", ([TUN, via]) => {
    expect(parse(sampleStatus({ TUN })).via).toBe(via);
  });

  test.for([
    { title: "a truncated document", json: toJson(sampleStatus()).slice(0, 900) },
    { title: "nothing", json: "" },
    { title: "a list", json: "[]" },
    { title: "an object that is no status", json: '{"error":"no backend"}' },
    { title: "names of another type", json: toJson(sampleStatus({ Peer: { k: { DNSName: 7 } } })) },
  ])("refuses $title, and says which source gave it", ({ json }) => {
    expect(() => parseStatus(json, "test")).toThrow(
      expect.objectContaining({ code: "BAD_RESPONSE", source: "test", cause: expect.any(Error) }),
    );
    expect(() => parseStatus(json, "test")).toThrow(SourceError);
  });
});

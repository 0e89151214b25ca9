import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTailnetIpv4 } from "./address.ts";
import { isResolveError } from "./errors.ts";
import { normaliseName } from "./node-name.ts";
import { parseStatus } from "./parse-status.ts";
import { resolveNode } from "./resolve-node.ts";
import { loggedOut, sampleStatus, toJson } from "./testing/sample-status.ts";

const resolve = (input: string, document: object = sampleStatus()) =>
  resolveNode(parseStatus(toJson(document), "test"), normaliseName(input));

describe("resolveNode", () => {
  test.for([
    { title: "a label", input: "anvil", ip: "100.70.0.2" },
    { title: "a label in capitals", input: "ANVIL", ip: "100.70.0.2" },
    { title: "a label with a dot", input: "anvil.", ip: "100.70.0.2" },
    { title: "a full name", input: "anvil.moss-lantern.ts.net", ip: "100.70.0.2" },
    { title: "a full name with a dot", input: "anvil.moss-lantern.ts.net.", ip: "100.70.0.2" },
    { title: "a full name in capitals", input: "Anvil.Moss-Lantern.TS.net.", ip: "100.70.0.2" },
    { title: "a numbered twin", input: "anvil-1", ip: "100.70.0.3" },
    { title: "a label that a shared-in node has too: ours", input: "kiln", ip: "100.70.0.4" },
    { title: "a shared-in full name", input: "kiln.quiet-harbor.ts.net", ip: "100.99.0.1" },
    { title: "this machine", input: "forge", ip: "100.70.0.1" },
    { title: "an IPv4 address", input: "100.70.0.4", ip: "100.70.0.4" },
    { title: "an IPv6 address", input: "FD7A:115C:A1E0::1:2", ip: "100.70.0.2" },
    { title: "an IPv4 address mapped into IPv6", input: "::ffff:100.70.0.2", ip: "100.70.0.2" },
  ])("resolves $title: $input", ({ input, ip }) => {
    expect(resolve(input).ip).toBe(ip);
  });

  test("resolves an offline node, and reports that it is offline", () => {
    expect(resolve("anvil-1")).toMatchObject({ online: false, lastSeen: expect.any(Date) });
  });

  test("flags this machine", () => {
    expect(resolve("forge").self).toBe(true);
    expect(resolve("anvil").self).toBe(false);
  });

  test.for([
    { input: "printer", suggestions: ["printer.quiet-harbor.ts.net"] },
    { input: "Adas-MacBook", suggestions: ["old-laptop"] },
    { input: "anvil.old-tailnet.ts.net", suggestions: ["anvil"] },
    { input: "anvli", suggestions: ["anvil"] },
    { input: "anvil1", suggestions: ["anvil", "anvil-1"] },
    { input: "device-of-shared-to-user", suggestions: [] },
    { input: "localhost", suggestions: [] },
    { input: "100.99.0.3", suggestions: [] },
    { input: "192.168.7.2", suggestions: [] },
    { input: "---", suggestions: [] },
  ])("does not find $input, and suggests $suggestions", ({ input, suggestions }) => {
    expect(() => resolve(input)).toThrow(
      expect.objectContaining({ code: "NOT_FOUND", node: input.toLowerCase(), suggestions }),
    );
  });

  test("lists the known nodes, ten of them in the message", () => {
    const Peer = Object.fromEntries(
      Array.from({ length: 12 }, (_, n) => [n, { ID: `n${n}`, DNSName: `node-${n + 10}.` }]),
    );
    expect(() => resolve("anvil", sampleStatus({ Peer }))).toThrow(
      expect.objectContaining({
        known: expect.objectContaining({ length: 13, 0: "forge", 12: "node-21" }),
        message: expect.stringMatching(/Known nodes: forge, node-10, .*node-18 and 3 more$/),
      }),
    );
  });

  test("suggests the closest name first", () => {
    expect(() => resolve("anvil-2")).toThrow(/did you mean anvil-1 or anvil\?/);
  });

  test("refuses an expired node, whose address does not answer", () => {
    expect(() => resolve("old-laptop")).toThrow(
      expect.objectContaining({
        code: "EXPIRED",
        fqdn: "old-laptop.moss-lantern.ts.net",
        expiredAt: new Date("2026-07-04T09:00:00Z"),
      }),
    );
  });

  test("refuses a node without IPv4, and returns its IPv6 address", () => {
    expect(() => resolve("six")).toThrow(
      expect.objectContaining({ code: "NO_IPV4", ipv6: "fd7a:115c:a1e0::1:6" }),
    );
  });

  test("refuses a node without an address", () => {
    expect(() => resolve("drift")).toThrow(expect.objectContaining({ code: "NO_ADDRESS" }));
  });

  test("refuses an address that Tailscale does not assign", () => {
    expect(() => resolve("astray")).toThrow(
      expect.objectContaining({ code: "OUT_OF_RANGE", address: "100.115.93.9" }),
    );
  });

  test("refuses to choose between two nodes of one name", () => {
    const twin = { DNSName: "twin.moss-lantern.ts.net.", TailscaleIPs: ["100.70.0.9"] };
    const Peer = { k: { ...twin, ID: "n1" }, l: { ...twin, ID: "n2" } };
    expect(() => resolve("twin", sampleStatus({ Peer }))).toThrow(
      expect.objectContaining({
        code: "AMBIGUOUS",
        fqdns: ["twin.moss-lantern.ts.net", "twin.moss-lantern.ts.net"],
        message: expect.stringContaining("(n1)"),
      }),
    );
  });

  test("never returns another node's address, for any tailnet", () => {
    const own = "moss-lantern.ts.net";
    // There are few names and ids, so that they collide.
    const domain = fc.constantFrom(own, "quiet-harbor.ts.net");
    const seldom = fc.integer({ min: 0, max: 7 }).map((n) => n === 7);
    const node = fc.record({
      ID: fc.constantFrom("n1", "n2", "n3", "n4"),
      HostName: fc.constantFrom("kiln", "anvil", "device-of-shared-to-user"),
      DNSName: fc.oneof(
        fc.constant(""),
        fc.tuple(fc.constantFrom("kiln", "Anvil"), domain).map(([label, of]) => `${label}.${of}.`),
      ),
      TailscaleIPs: fc.option(
        fc.array(
          fc.constantFrom<string[]>(
            "100.70.0.1",
            "100.70.0.2",
            "fd7a:115c:a1e0::3",
            "100.115.92.4",
          ),
        ),
      ),
      Expired: seldom,
      ShareeNode: seldom,
      InNetworkMap: seldom.map((is) => !is),
    });
    const typed = fc.oneof(
      fc.constantFrom("kiln", "ANVIL", "anvil."),
      fc.tuple(fc.constantFrom("kiln", "anvil"), domain).map((parts) => parts.join(".")),
    );
    const reached = { resolved: 0, refused: 0 };
    fc.assert(
      fc.property(fc.array(node, { maxLength: 6 }), typed, (nodes, input) => {
        const Peer = Object.fromEntries(nodes.map((each, index) => [`nodekey:${index}`, each]));
        const wanted = input.toLowerCase().replace(/\.$/, "");
        const fqdn = wanted.includes(".") ? `${wanted}.` : `${wanted}.${own}.`;
        const meant = nodes.filter(
          (each) => each.InNetworkMap && !each.ShareeNode && each.DNSName.toLowerCase() === fqdn,
        );
        try {
          const { id, ip } = resolve(input, sampleStatus({ Peer }));
          reached.resolved += 1;
          expect(new Set(meant.map(({ ID }) => ID))).toEqual(new Set([id]));
          expect(isTailnetIpv4(ip)).toBe(true);
          expect(meant.some((each) => !each.Expired && each.TailscaleIPs?.includes(ip))).toBe(true);
        } catch (error) {
          if (!isResolveError(error)) throw error;
          reached.refused += 1;
          const ids = new Set(meant.map(({ ID }) => ID));
          expect(error.code === "NOT_FOUND").toBe(ids.size === 0);
          expect(error.code === "AMBIGUOUS").toBe(ids.size > 1);
        }
      }),
      { numRuns: 2_000 },
    );
    // Each result occurred often enough for the property to mean something.
    expect(Math.min(reached.resolved, reached.refused)).toBeGreaterThan(100);
  });

  test("counts a node that is listed twice under one id as one node", () => {
    const { Self } = sampleStatus();
    expect(resolve("forge", sampleStatus({ Peer: { k: Self } }))).toMatchObject({ self: true });
  });

  test("finds nodes of a control server whose names have no domain", () => {
    const changes = {
      Self: { ID: "1", DNSName: "forge.", TailscaleIPs: ["100.64.0.1"] },
      Peer: { k: { ID: "2", DNSName: "anvil", TailscaleIPs: ["100.64.0.2"] } },
      CurrentTailnet: { MagicDNSSuffix: "forge" },
    };
    expect(resolve("forge", sampleStatus(changes)).ip).toBe("100.64.0.1");
    expect(resolve("anvil", sampleStatus(changes)).ip).toBe("100.64.0.2");
  });

  test.for(["Stopped", "Starting", "NoState", "NeedsMachineAuth", "SomethingNew"])(
    "refuses the addresses that a daemon in state %s still lists",
    (state) => {
      expect(() => resolve("anvil", sampleStatus({ BackendState: state }))).toThrow(
        expect.objectContaining({ code: "NOT_RUNNING", state, authUrl: undefined }),
      );
    },
  );

  test("returns the login page of a logged-out daemon, but not in the message", () => {
    expect(() => resolve("anvil", loggedOut())).toThrow(
      expect.objectContaining({
        code: "NOT_RUNNING",
        state: "NeedsLogin",
        authUrl: "https://login.example/a/1",
        message: expect.not.stringContaining("login.example"),
      }),
    );
  });
});

import { describe, expect, test } from "vitest";
import { localApiSource } from "../sources/local-api.ts";
import { sendJson, startFakeLocalApi } from "../testing/fake-local-api.ts";
import { toJson } from "../testing/sample-status.ts";
import { sampleWhoIs } from "../testing/sample-whois.ts";
import { parseWhoIs } from "./whois.ts";

const parse = (document: object) => parseWhoIs(toJson(document));

describe("whois", () => {
  test("returns the machine, its owner and the grants of the policy", async () => {
    const hub = "loom.example/cap/hub";
    const answer = sampleWhoIs({ grants: { [hub]: [{ role: "operator" }] } });
    await using daemon = await startFakeLocalApi({ whois: sendJson(answer) });
    const { whois } = localApiSource({ socketPath: daemon.socketPath });
    expect(await whois({ address: "100.70.0.2", port: 40_404 })).toEqual({
      known: true,
      node: {
        id: "nAnvilCNTRL",
        fqdn: "anvil.moss-lantern.ts.net",
        os: "linux",
        addresses: ["100.70.0.2", "fd7a:115c:a1e0::1:2"],
        keyExpiresAt: new Date("2027-01-31T12:00:00Z"),
      },
      identity: {
        kind: "user",
        id: "7001",
        login: "ada@example.org",
        displayName: "Ada",
        groups: [],
      },
      grants: new Map([[hub, [{ role: "operator" }]]]),
    });
  });

  test.for([
    { title: "an IPv4 address", address: "100.70.0.2", addr: "100.70.0.2:9" },
    { title: "one mapped into IPv6", address: "::ffff:100.70.0.2", addr: "100.70.0.2:9" },
    { title: "an IPv6 address", address: "fd7a:115c:a1e0::1:2", addr: "[fd7a:115c:a1e0::1:2]:9" },
  ])("asks for TCP, about $title", async ({ address, addr }) => {
    await using daemon = await startFakeLocalApi({ whois: sendJson(sampleWhoIs()) });
    const { whois } = localApiSource({ socketPath: daemon.socketPath });
    expect(await whois({ address, port: 9 })).toMatchObject({ known: true });
    const { searchParams } = new URL(daemon.requests[0]?.url ?? "", "http://localapi");
    expect(Object.fromEntries(searchParams)).toEqual({ proto: "tcp", addr });
  });

  test.for(["127.0.0.1", "::1", "192.168.7.2", "203.0.113.4", "100.115.92.7", "100.100.100.100"])(
    "neither trusts nor asks about %s",
    async (address) => {
      await using daemon = await startFakeLocalApi({ whois: sendJson(sampleWhoIs()) });
      const { whois } = localApiSource({ socketPath: daemon.socketPath });
      expect(await whois({ address, port: 9 })).toEqual({
        known: false,
        reason: "NOT_TAILNET",
        message: expect.stringContaining(address),
      });
      expect(daemon.requests).toHaveLength(0);
    },
  );

  test("identifies nobody at an address that the daemon does not match", async () => {
    await using daemon = await startFakeLocalApi();
    const { whois } = localApiSource({ socketPath: daemon.socketPath });
    const stranger = await whois({ address: "100.70.0.9", port: 9 });
    expect(stranger).toMatchObject({ known: false, reason: "NO_MATCH" });
  });

  test.for([
    { title: "fails", answer: 500, timeoutMs: 5_000, code: "BAD_RESPONSE" },
    { title: "refuses", answer: 403, timeoutMs: 5_000, code: "NO_PERMISSION" },
    { title: "does not answer", answer: undefined, timeoutMs: 50, code: "DAEMON_HUNG" },
  ])("identifies nobody when the daemon $title", async ({ answer, timeoutMs, code }) => {
    await using daemon = await startFakeLocalApi({
      whois: (response) => {
        if (answer) response.writeHead(answer).end();
      },
    });
    const { whois } = localApiSource({ socketPath: daemon.socketPath, timeoutMs });
    await expect(whois({ address: "100.70.0.2", port: 9 })).rejects.toMatchObject({ code });
  });

  test.for([
    { address: "anvil", port: 9 },
    { address: "100.70.0.2", port: 0 },
    { address: "100.70.0.2", port: 1.5 },
  ])("refuses %j, which is not the end of a connection", async (remote) => {
    await expect(localApiSource().whois(remote)).rejects.toThrow(TypeError);
  });
});

describe("parseWhoIs", () => {
  test("identifies a tagged machine by its tags, never by the placeholder that owns it", () => {
    const node = { Tags: ["tag:agent", "tag:gpu"], User: 26059037925131999n };
    const user = { ID: 26059037925131999n, LoginName: "tagged-devices" };
    expect(parse(sampleWhoIs({ node, user }))).toMatchObject({
      identity: { kind: "tags", tags: ["tag:agent", "tag:gpu"] },
    });
  });

  test("keeps every digit of a user's id, and their groups", () => {
    const user = { ID: 26059037925131574n, Groups: ["group:ops"] };
    expect(parse(sampleWhoIs({ user }))).toMatchObject({
      identity: { id: "26059037925131574", groups: ["group:ops"] },
    });
  });

  test("keeps the order of a grant's values, and a grant without any", () => {
    const grants = { "a/b": [{ role: "one" }, "two"], "c/d": null, "e/f": [{}] };
    const caller = parse(sampleWhoIs({ grants }));
    expect(caller.known && [...caller.grants]).toEqual([
      ["a/b", [{ role: "one" }, "two"]],
      ["c/d", []],
      ["e/f", [{}]],
    ]);
  });

  test("does not treat the node's attributes as grants", () => {
    const caller = parse(sampleWhoIs({ node: { CapMap: { "loom.example/cap/hub": [{}] } } }));
    expect(caller.known && caller.grants.size).toBe(0);
  });

  test.for([
    { reason: "EXPIRED", node: { Expired: true } },
    { reason: "SHAREE", node: { Hostinfo: { OS: "iOS", ShareeNode: true } } },
  ])("identifies nobody on a node that is $reason", ({ reason, node }) => {
    expect(parse(sampleWhoIs({ node }))).toMatchObject({ known: false, reason });
  });

  test.for([
    { title: "tags of another shape", document: sampleWhoIs({ node: { Tags: "tag:agent" } }) },
    { title: "an expiry of another shape", document: sampleWhoIs({ node: { Expired: "yes" } }) },
    { title: "no id", document: sampleWhoIs({ node: { StableID: "" } }) },
    { title: "neither tags nor owner", document: sampleWhoIs({ user: { LoginName: "" } }) },
    {
      title: "the placeholder for owners, but no tags",
      document: sampleWhoIs({ user: { LoginName: "tagged-devices" } }),
    },
    { title: "no user", document: { Node: sampleWhoIs().Node } },
    { title: "another document", document: {} },
  ])("refuses $title instead of guessing", ({ document }) => {
    expect(() => parse(document)).toThrow(expect.objectContaining({ code: "BAD_RESPONSE" }));
  });
});

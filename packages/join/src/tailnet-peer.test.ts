import { onError } from "@loom/http";
import type { WhoIs } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import { Hono } from "hono";
import { expect, test } from "vitest";
import { findTailnetPeer } from "./tailnet-peer.ts";

const silent = { error() {}, warn() {} } as unknown as Log;

const known = (changes: { fqdn?: string; tags?: [string] } = {}): WhoIs => ({
  known: true,
  node: {
    id: "nAnvilCNTRL",
    fqdn: changes.fqdn ?? "anvil.moss.ts.net",
    os: "linux",
    addresses: ["100.64.0.2"],
    keyExpiresAt: undefined,
  },
  identity: changes.tags
    ? { kind: "tags", tags: changes.tags }
    : { kind: "user", id: "1", login: "ada@example.org", displayName: "Ada", groups: [] },
  grants: new Map(),
});

interface Asked {
  rules?: string[];
  from?: string;
  headers?: Record<string, string>;
  whois?: () => Promise<WhoIs>;
  self?: () => Promise<{ addresses: string[]; fqdn: string }>;
}

/** The machine that joins, or the code of the refusal with its sentence. */
async function ask({
  rules = ["ada@example.org", "tag:loom-agent"],
  from = "100.64.0.2",
  headers = {},
  whois = async () => known(),
  self = async () => ({ addresses: ["100.64.0.1"], fqdn: "pi.moss.ts.net" }),
}: Asked): Promise<unknown> {
  const app = new Hono();
  app.onError(onError(silent));
  app.get("/", async (c) =>
    c.json(await findTailnetPeer(c, { tailnetJoin: rules, self, whois, log: silent })),
  );
  const socket = { remoteAddress: from, remotePort: 40_000, localAddress: "100.64.0.1" };
  const answer = await app.request("/", { headers }, { incoming: { socket }, outgoing: {} });
  const body = (await answer.json()) as Record<string, unknown>;
  return answer.ok ? body : [body.code, body.detail];
}

test("a machine of a person with a rule joins under its name in the tailnet", async () => {
  expect(await ask({})).toEqual({ name: "anvil", id: "nAnvilCNTRL", who: "ada@example.org" });
});

test("a tagged machine joins by its tag", async () => {
  const whois = async () => known({ tags: ["tag:loom-agent"] });
  expect(await ask({ whois })).toEqual({
    name: "anvil",
    id: "nAnvilCNTRL",
    who: "tag:loom-agent",
  });
});

test.for<[string, Asked, RegExp]>([
  ["anybody where there is no rule", { rules: [] }, /takes no machine without a token/],
  ["a person without a rule", { rules: ["bo@example.net"] }, /no rule for/],
  ["the hub's own machine", { from: "100.64.0.1" }, /the hub's own machine/],
  ["loopback", { from: "127.0.0.1" }, /straight from a machine of the tailnet/],
  ["the local network", { from: "192.168.1.9" }, /straight from a machine/],
  ["a forwarded request", { headers: { "x-forwarded-for": "100.64.0.2" } }, /straight from/],
  [
    "a machine that another tailnet shares",
    { whois: async () => known({ fqdn: "anvil.quiet-harbor.ts.net" }) },
    /another tailnet/,
  ],
  [
    "a machine that Tailscale does not know",
    { whois: async () => ({ known: false, reason: "NO_MATCH", message: "" }) },
    /does not know/,
  ],
  [
    "a device of somebody whom the hub was shared with",
    { whois: async () => ({ known: false, reason: "SHAREE", message: "" }) },
    /does not know/,
  ],
])("refuses %s, and asks for a token", async ([, asked, why]) => {
  expect(await ask(asked)).toEqual(["JOIN_TOKEN_REQUIRED", expect.stringMatching(why)]);
});

test.for<[string, Asked]>([
  ["whois fails", { whois: () => Promise.reject(new Error("hung")) }],
  ["the hub's own addresses are unknown", { self: () => Promise.reject(new Error("hung")) }],
])("lets nobody in while %s", async ([, asked]) => {
  expect(await ask(asked)).toMatchObject(["IDENTITY_UNAVAILABLE", expect.any(String)]);
});

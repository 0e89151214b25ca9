import { onError } from "@loom/http";
import { Hono } from "hono";
import { expect, test } from "vitest";
import type { OwnMachine } from "./join-context.ts";
import { originOf, safeWaysOnly } from "./place.ts";

const OWN: OwnMachine = { addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"], fqdn: "pi.moss.ts.net" };
const silent = { error() {} };

interface Connection {
  from: string;
  to?: string;
  headers?: Record<string, string>;
  self?: () => Promise<OwnMachine>;
}

/** What a request over this connection gets: where it was asked, or the code of its refusal. */
async function ask({ from, to = from, headers = {}, self = async () => OWN }: Connection) {
  const app = new Hono();
  app.onError(onError(silent));
  app.use(safeWaysOnly({ self }));
  app.get("/join", (c) => c.text(originOf(c)));
  const socket = { remoteAddress: from, remotePort: 40_000, localAddress: to };
  const answer = await app.request(
    "http://pi:3000/join",
    { headers },
    { incoming: { socket }, outgoing: {} },
  );
  return answer.ok ? answer.text() : ((await answer.json()) as { code: string }).code;
}

test.for<[string, Connection, string]>([
  ["this machine", { from: "127.0.0.1" }, "http://pi:3000"],
  ["this machine over IPv6", { from: "::1" }, "http://pi:3000"],
  ["a machine of the tailnet", { from: "100.64.0.2", to: "100.64.0.1" }, "http://pi:3000"],
  ["the same, mapped", { from: "::ffff:100.64.0.2", to: "::ffff:100.64.0.1" }, "http://pi:3000"],
  [
    "a machine of the tailnet over IPv6",
    { from: "fd7a:115c:a1e0::2", to: "fd7a:115c:a1e0::1" },
    "http://pi:3000",
  ],
  [
    "TLS that a proxy of this machine ended",
    {
      from: "127.0.0.1",
      headers: { "x-forwarded-proto": "https", "x-forwarded-host": "hub.example" },
    },
    "https://hub.example",
  ],
  [
    "a forwarded host that a shell would read as more than a name",
    {
      from: "127.0.0.1",
      headers: { "x-forwarded-proto": "https", "x-forwarded-host": "a';rm -rf x" },
    },
    "https://pi:3000",
  ],
])("takes %s", async ([, connection, origin]) => {
  expect(await ask(connection)).toBe(origin);
});

test.for<[string, Connection, string]>([
  ["the local network", { from: "192.168.1.9", to: "192.168.1.2" }, "NOT_SERVED_HERE"],
  // An internet provider's addresses lie in the same range.
  ["a provider's network", { from: "100.64.0.2", to: "100.64.7.7" }, "NOT_SERVED_HERE"],
  [
    "the tailnet's address, from elsewhere",
    { from: "192.168.1.9", to: "100.64.0.1" },
    "NOT_SERVED_HERE",
  ],
  [
    "the tailnet while Tailscale does not answer",
    { from: "100.64.0.2", to: "100.64.0.1", self: () => Promise.reject(new Error("hung")) },
    "NOT_SERVED_HERE",
  ],
  [
    "a proxy without TLS",
    { from: "127.0.0.1", headers: { "x-forwarded-for": "203.0.113.9" } },
    "NOT_SERVED_HERE",
  ],
  [
    "TLS by the word of another machine",
    { from: "192.168.1.9", headers: { "x-forwarded-proto": "https" } },
    "NOT_SERVED_HERE",
  ],
  [
    "a forwarded request that came over the tailnet",
    { from: "100.64.0.2", to: "100.64.0.1", headers: { "x-forwarded-proto": "https" } },
    "NOT_SERVED_HERE",
  ],
  ["a page", { from: "127.0.0.1", headers: { origin: "http://pi:3000" } }, "BROWSER_REFUSED"],
  ["a tab", { from: "127.0.0.1", headers: { "sec-fetch-site": "none" } }, "BROWSER_REFUSED"],
])("refuses %s", async ([, connection, code]) => {
  expect(await ask(connection)).toBe(code);
});

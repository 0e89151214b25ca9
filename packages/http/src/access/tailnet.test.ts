import type { LocalApi, Status } from "@loom/tailscale-resolver";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { ProblemError } from "../problem.ts";
import type { Peer } from "./origin.ts";
import { createTailnetGate, openTailnet, type TailnetAccess, type WhoIs } from "./tailnet.ts";

const peer = (rest: Partial<Peer> = {}): Peer => ({
  remoteAddress: "100.88.7.19",
  remotePort: 51_000,
  localAddress: "100.101.40.2",
  connection: {},
  ...rest,
});
const ada = {
  known: true,
  identity: { kind: "user", login: "ada@example.org" },
  grants: new Map<string, readonly unknown[]>(),
} as const;
const CAPABILITY = "loom.example/cap/hub";

function gate(found: WhoIs, rest: Partial<TailnetAccess> = {}) {
  const asked: unknown[] = [];
  const access: TailnetAccess = {
    addresses: ["100.101.40.2"],
    whois: async (address) => {
      asked.push(address);
      return found;
    },
    capability: CAPABILITY,
    scopesOf: { "ada@example.org": ["read", "run"], "tag:ci": ["run"] },
    ...rest,
  };
  return { ask: createTailnetGate(access, pino({ level: "silent" })), asked };
}

describe("the tailnet", () => {
  test("identifies the caller by the socket's two ends", async () => {
    const { ask, asked } = gate(ada);
    expect(await ask(peer())).toMatchObject({ who: "ada@example.org", scopes: ["read", "run"] });
    expect(asked).toEqual([{ address: "100.88.7.19", port: 51_000 }]);
  });

  test.for([
    { title: "came to another address of this machine", at: { localAddress: "192.168.1.2" } },
    { title: "came to loopback, as what a proxy forwards does", at: { localAddress: "127.0.0.1" } },
    { title: "is not in the tailnet's range", at: { remoteAddress: "192.168.1.9" } },
    { title: "is next to the tailnet's range", at: { remoteAddress: "100.128.0.1" } },
    { title: "has another private IPv6 address", at: { remoteAddress: "fd00::1" } },
  ])("is not asked about who $title", async ({ at }) => {
    const { ask, asked } = gate(ada);
    expect(await ask(peer(at))).toBeUndefined();
    expect(asked).toEqual([]);
  });

  test("is not asked without a connection", async () => {
    expect(await gate(ada).ask(undefined)).toBeUndefined();
  });

  test("lets by grant what a grant says, and by name what the hub says", async () => {
    const granted = (values: unknown[]): WhoIs => ({
      ...ada,
      identity: { kind: "user", login: "bo@example.org" },
      grants: new Map([
        [CAPABILITY, values],
        ["other.example/cap", [{ scopes: ["admin"] }]],
      ]),
    });
    expect(await gate(granted([{ scopes: ["operate"] }])).ask(peer())).toMatchObject({
      scopes: ["operate"],
    });
    for (const values of [[], [{}], ["admin"], [{ scopes: "admin" }], [{ scopes: ["root"] }]]) {
      expect(await gate(granted(values)).ask(peer())).toBeUndefined();
    }
  });

  test("knows a tagged machine by its tags, never by a login", async () => {
    const tagged = (tags: string[]): WhoIs => ({ ...ada, identity: { kind: "tags", tags } });
    expect(await gate(tagged(["tag:ci"])).ask(peer())).toMatchObject({
      who: "tag:ci",
      scopes: ["run"],
    });
    expect(await gate(tagged(["tag:other"])).ask(peer())).toBeUndefined();
  });

  test.for<WhoIs>([
    { known: false },
    { ...ada, identity: { kind: "user", login: "" } },
    { ...ada, identity: { kind: "user", login: "__proto__" } },
    { ...ada, identity: { kind: "tags", tags: [] } },
  ])("lets nobody in for %j", async (found) => {
    expect(await gate(found).ask(peer())).toBeUndefined();
  });

  test("lets nobody in while it cannot be asked", async () => {
    const { ask } = gate(ada, {
      whois: async () => {
        throw new Error("no daemon");
      },
    });
    const refusal = await ask(peer()).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ProblemError);
    expect(refusal).toMatchObject({ problem: { status: 503, code: "IDENTITY_UNAVAILABLE" } });
  });

  test("is asked once for what comes over one connection", async () => {
    const { ask, asked } = gate(ada);
    const connection = {};
    await Promise.all([ask(peer({ connection })), ask(peer({ connection }))]);
    await ask(peer({ connection }));
    expect(asked).toHaveLength(1);
    await ask(peer());
    expect(asked).toHaveLength(2);
  });
});

test("identifies callers as soon as Tailscale runs, and by its addresses of then", async () => {
  const self = { addresses: ["100.101.40.2"] };
  const state = { now: "Stopped" };
  const lines: { msg: string }[] = [];
  const access = await openTailnet(
    { capability: CAPABILITY, scopesOf: {} },
    pino({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) }),
    {
      daemon: {
        read: async () => ({ self, state: state.now, via: "direct" }) as unknown as Status,
        whois: async () => ada as unknown as WhoIs & { known: true },
      } as unknown as LocalApi,
      lookMs: 5,
    },
  );
  expect(access?.addresses).toEqual([]);
  expect(lines).toMatchObject([{ msg: expect.stringContaining("everybody needs a token") }]);
  state.now = "Running";
  await expect.poll(() => access?.addresses, { interval: 5 }).toEqual(["100.101.40.2"]);
  self.addresses = ["100.101.40.9"];
  await expect.poll(() => access?.addresses, { interval: 5 }).toEqual(["100.101.40.9"]);
  state.now = "Stopped";
  expect(lines).toHaveLength(3);
});

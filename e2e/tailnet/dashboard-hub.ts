// A hub with its page and its own database, all in the network that it is started in. tailscaled is a fake: it
// takes every caller for ada@example.org, and knows a second machine.
import { fileURLToPath } from "node:url";
import { type StartOptions, startHub } from "@loom/hub";
import { openDatabase, startCluster } from "@loom/local-db";
import { createQueue, migrationScript } from "@loom/queue";
import { createResolver, localApiSource } from "@loom/tailscale-resolver";
import {
  sampleStatus,
  sampleWhoIs,
  sendJson,
  startFakeLocalApi,
} from "@loom/tailscale-resolver/testing";
import { createInlinePlanner } from "@loom/worker";
import { createClient } from "@supabase/supabase-js";

const { address } = JSON.parse(process.argv[2] ?? "") as { address: string };
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());

const machine = (ID: string, name: string, ip: string, more: object = {}) => ({
  ...sampleStatus().Self,
  ID,
  HostName: name,
  DNSName: `${name}.moss-lantern.ts.net.`,
  TailscaleIPs: [ip],
  ...more,
});
await using daemon = await startFakeLocalApi({
  status: sendJson(
    sampleStatus({
      Self: machine("nForgeCNTRL", "forge", address),
      Peer: {
        "nodekey:1": machine("nAnvilCNTRL", "anvil", "100.64.0.2", { Active: true, Relay: "fra" }),
      },
    }),
  ),
  whois: sendJson(sampleWhoIs()),
  ping: sendJson({ LatencySeconds: 0.0123, Endpoint: "192.168.7.2:41641" }),
});
const source = localApiSource({ socketPath: daemon.socketPath });

await using cluster = await startCluster({ schema: await migrationScript() });
await using database = await openDatabase(cluster.info);
const client = createClient(database.url, database.serviceKey, { auth: { persistSession: false } });

const nothing = (): void => {};
const log: StartOptions["log"] = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => log as ReturnType<StartOptions["log"]["child"]>,
};
const hub = await startHub(
  {
    queue: createQueue({ client }),
    planner: createInlinePlanner([]),
    // There is nothing to run.
    runner: {
      start() {
        throw new Error("there are no workflows, hence no steps");
      },
      fault: () => null,
      recheck: async () => {},
      close: async () => {},
    },
    log,
    token: "a-token-for-this-test",
    bind: address,
    port: 0,
    dashboard: fileURLToPath(new URL("../../apps/hub/dist/dashboard", import.meta.url)),
    tailnetClient: {
      ...createResolver({ source }),
      ping: (ip, options) => source.ping(ip, options),
    },
    tailnet: {
      addresses: [address],
      whois: (remote) => source.whois(remote),
      scopesOf: { "ada@example.org": ["read", "run"] },
    },
    node: { name: "forge", leaseMs: 45_000 },
    wakeServer: "off",
  },
  { signal: stop.signal },
);
console.log(hub.url);
await hub.done;

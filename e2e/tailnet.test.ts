import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { json } from "node:stream/consumers";
import type { ChildProcessHandle } from "@loom/local-db";
import {
  sampleStatus,
  sampleWhoIs,
  sendJson,
  startFakeLocalApi,
} from "@loom/tailscale-resolver/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createNamespace, type Namespace, namespacesMissing } from "./support/namespaces.ts";

// A tailnet of two machines, each a network namespace, with real addresses of 100.64.0.0/10 between
// them. tailscaled is played: its LocalAPI by a server on a socket, its name server by a process in
// the hub's namespace. And a third machine, the provider's, is where the hub's default route leads;
// it has the agent's address as well, as a stranger behind a carrier-grade NAT might.
const HUB = "100.64.0.1";
const AGENT = "100.64.0.2";
const WAKE_PORT = 7421;
const FQDN = "anvil.moss-lantern.ts.net";

const missing = await namespacesMissing();
if (missing && process.env.CI) throw new Error(`no network namespaces here: ${missing}`);
if (missing)
  console.warn(`the tests of a tailnet are skipped, for want of network namespaces: ${missing}`);

describe.skipIf(missing)("a tailnet", () => {
  const stack = new AsyncDisposableStack();
  let directory: string;
  let hub: Namespace;
  let nameServer: ChildProcessHandle;
  let daemon: AsyncDisposable;
  /** What the agent and the stranger print. */
  const agentLines: string[] = [];
  const strangerLines: string[] = [];

  const inDirectory = (name: string) => path.join(directory, name);
  const own = <T extends AsyncDisposable>(resource: T): T => stack.use(resource);

  /** Has someone listen where the agent's wake server is, or seems to be. */
  const startWakeServer = async (on: Namespace, program: URL, lines: string[]) =>
    own(
      await on.start(
        program,
        { address: AGENT, port: WAKE_PORT, socketPath: inDirectory("agent.sock") },
        (line) => lines.push(line),
      ),
    );

  const startHubDaemon = () =>
    startFakeLocalApi({ status: sendJson(hubStatus()) }, { socketPath: inDirectory("hub.sock") });

  /** Has the hub wake a node. */
  async function wake(node: string, more = "") {
    const order = request({
      socketPath: inDirectory("control.sock"),
      path: `/?node=${node}${more}`,
    });
    const [response] = (await once(order.end(), "response")) as [IncomingMessage];
    return json(response);
  }

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "loom-tailnet-"));
    stack.defer(() => rm(directory, { recursive: true }));
    hub = own(await createNamespace());
    const agent = own(await createNamespace());
    const provider = own(await createNamespace());

    await hub.ip(`link add tailscale0 type veth peer name tailscale0 netns ${agent.pid}`);
    await hub.ip(`addr add ${HUB}/10 dev tailscale0`);
    await hub.ip("addr add 100.100.100.100/32 dev lo");
    await hub.ip("link set tailscale0 up");
    await agent.ip(`addr add ${AGENT}/10 dev tailscale0`);
    await agent.ip("link set tailscale0 up");

    await hub.ip(`link add eth0 type veth peer name eth0 netns ${provider.pid}`);
    await hub.ip("addr add 198.51.100.2/24 dev eth0");
    await hub.ip("link set eth0 up");
    await hub.ip("route add default via 198.51.100.1");
    await provider.ip("addr add 198.51.100.1/24 dev eth0");
    await provider.ip(`addr add ${AGENT}/32 dev lo`);
    await provider.ip("link set eth0 up");

    const whois = sendJson(sampleWhoIs({ node: { StableID: "nForgeCNTRL" } }));
    own(await startFakeLocalApi({ whois }, { socketPath: inDirectory("agent.sock") }));
    daemon = await startHubDaemon();
    nameServer = own(
      await hub.start(new URL("tailnet/name-server.ts", import.meta.url), { [FQDN]: AGENT }),
    );
    await startWakeServer(agent, new URL("tailnet/agent.ts", import.meta.url), agentLines);
    await startWakeServer(provider, new URL("tailnet/stranger.ts", import.meta.url), strangerLines);
    own(
      await hub.start(new URL("tailnet/hub.ts", import.meta.url), {
        control: inDirectory("control.sock"),
        socketPath: inDirectory("hub.sock"),
        port: WAKE_PORT,
      }),
    );
  });
  afterAll(() => stack.disposeAsync());

  test("the hub finds an agent by its name and wakes it", async () => {
    expect(await wake("Anvil")).toMatchObject({
      heard: true,
      node: { ip: AGENT, id: "nAnvilCNTRL", localAddress: HUB, source: "local-api", stale: false },
    });
  });

  test("the agent learns from tailscaled who woke it", async () => {
    await expect
      .poll(() => agentLines.slice(1).map((line) => JSON.parse(line)))
      .toMatchObject([
        {
          from: { address: HUB, port: WAKE_PORT },
          caller: { known: true, node: { id: "nForgeCNTRL" } },
        },
      ]);
  });

  test("without the daemon, the hub asks the tailnet's name server", async () => {
    await daemon[Symbol.asyncDispose]();
    expect(await wake("anvil")).toMatchObject({
      heard: true,
      node: { ip: AGENT, source: "magic-dns" },
    });
  });

  test("without the name server too, it uses the daemon's last answer", async () => {
    await nameServer.stop();
    expect(await wake("anvil")).toMatchObject({
      heard: true,
      node: { ip: AGENT, source: "local-api", stale: true },
    });
  });

  test("right after Tailscale has stopped, the wake-up goes to no stranger", async () => {
    daemon = own(await startHubDaemon());
    await hub.ip("link delete tailscale0");
    expect(await wake("anvil")).toMatchObject({ code: "EADDRNOTAVAIL" });
    expect(strangerLines).toEqual(["listening"]);
    // This is what it is kept from.
    expect(await wake("anvil", "&anywhere")).toMatchObject({ code: "ECONNRESET" });
    await expect.poll(() => strangerLines[1]).toBe("called from 198.51.100.2");
  });
});

/** What tailscaled tells on the hub's machine. */
function hubStatus() {
  const status = sampleStatus();
  const machine = (ID: string, name: string, ip: string) => ({
    ...status.Self,
    ID,
    HostName: name,
    DNSName: `${name}.${status.MagicDNSSuffix}.`,
    TailscaleIPs: [ip],
  });
  return sampleStatus({
    Self: machine("nForgeCNTRL", "forge", HUB),
    Peer: { "nodekey:1": machine("nAnvilCNTRL", "anvil", AGENT) },
  });
}

// Plays tailscaled at its usual place, for a hub in a network and a /run of its own: knows the machines of a tailnet.
import {
  sampleStatus,
  sampleWhoIs,
  sendJson,
  startFakeLocalApi,
} from "@loom/tailscale-resolver/testing";

const { self, peers } = JSON.parse(process.argv[2] ?? "") as {
  self: { name: string; ip: string };
  /** What whois says of each machine, by its address. */
  peers: Record<string, { name: string; tags?: string[] }>;
};
const SUFFIX = "moss-lantern.ts.net";

await startFakeLocalApi(
  {
    status: sendJson(
      sampleStatus({
        Self: {
          ...sampleStatus().Self,
          HostName: self.name,
          DNSName: `${self.name}.${SUFFIX}.`,
          TailscaleIPs: [self.ip],
        },
        Peer: null,
      }),
    ),
    whois(response, query) {
      const [address = ""] = (query.get("addr") ?? "").split(":");
      const peer = peers[address];
      if (!peer) return void response.writeHead(404).end("no match\n");
      const { name, tags } = peer;
      const node = {
        StableID: `n-${name}`,
        Name: `${name}.${SUFFIX}.`,
        ...(tags && { Tags: tags }),
      };
      sendJson(sampleWhoIs({ node }))(response, query);
    },
  },
  { socketPath: "/run/tailscale/tailscaled.sock" },
);
console.log("listening");

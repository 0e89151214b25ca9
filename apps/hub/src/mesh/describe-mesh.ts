import type { Node } from "@loom/queue";
import type { Peer, Pong } from "@loom/tailscale-resolver";
import { peerOf, type Tailnet } from "../doctor/facts.ts";
import type { MeshView } from "../views/mesh.ts";

/** The tailnet's machines with their agents, this one first; and agents that are not in it. */
export function describeMesh(
  tailnet: Tailnet,
  nodes: readonly Node[],
  pongs: ReadonlyMap<string, Pong> = new Map(),
): MeshView {
  if (!tailnet.isKnown) {
    return { unknown: tailnet.reason, machines: [], elsewhere: nodes.map(toAgent) };
  }
  const agents = new Map(nodes.map((node) => [peerOf(node, tailnet)?.id, node]));
  return {
    unknown: null,
    machines: [tailnet.self, ...tailnet.peers].map((peer) => {
      const node = agents.get(peer.id);
      return { ...toMachine(peer, pongs.get(peer.id)), agent: node ? toAgent(node) : null };
    }),
    elsewhere: nodes.filter((node) => peerOf(node, tailnet) === undefined).map(toAgent),
  };
}

const toMachine = (peer: Peer, pong: Pong | undefined) => ({
  name: peer.name,
  address: peer.ip ?? null,
  os: peer.os,
  online: peer.online,
  isHub: peer.self,
  keyExpired: peer.expired,
  path: peer.path ?? null,
  ping: pong?.reached ? { ...pong, path: pong.path ?? null } : (pong ?? null),
});

const toAgent = ({ name, online, status, lastSeenMs, agentVersion }: Node) => ({
  node: name,
  online,
  status,
  lastSeenMs,
  agentVersion,
});

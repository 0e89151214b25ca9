import type { Mesh } from "@loom/client";
import type { Node } from "@loom/queue";
import type { Peer, Pong } from "@loom/tailscale-resolver";

/** The machines of the tailnet, or why they are unknown. */
export type Tailnet =
  | { readonly isKnown: true; readonly self: Peer; readonly peers: readonly Peer[] }
  | { readonly isKnown: false; readonly reason: string };

/**
 * Joins the tailnet's machines, this one first, with the agents on them. Agents of machines that the tailnet
 * does not know are listed apart.
 */
export function describeMesh(
  tailnet: Tailnet,
  nodes: readonly Node[],
  pongs: ReadonlyMap<string, Pong> = new Map(),
): Mesh {
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

/** A node's machine in the tailnet: by the address that its agent reports, else by its name. */
export function peerOf(
  { name, tailnetAddress }: Pick<Node, "name" | "tailnetAddress">,
  tailnet: Extract<Tailnet, { isKnown: true }>,
): Peer | undefined {
  const machines = [tailnet.self, ...tailnet.peers];
  return (
    machines.find(
      ({ addresses }) => tailnetAddress !== null && addresses.includes(tailnetAddress),
    ) ?? machines.find((peer) => peer.name === name)
  );
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

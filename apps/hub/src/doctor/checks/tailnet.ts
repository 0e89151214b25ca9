import { suggestNames } from "@loom/scheduler";
import type { Peer } from "@loom/tailscale-resolver";
import { type Check, countOf, type Finding } from "../check.ts";
import { peerOf, pendingFor } from "../facts.ts";

/** Every node's machine is up in the tailnet, under a key that has not expired. */
export const tailnet: Check = {
  name: "tailnet",
  examine: (facts) => {
    const { nodes, tailnet: net } = facts;
    if (!net.isKnown) return { skipped: net.reason };
    const known = net.peers.map(({ name }) => name);
    const paths: string[] = [];
    const findings = nodes.flatMap((node): Finding[] => {
      const status = pendingFor(facts, node.name).length > 0 && !node.online ? "fail" : "warn";
      const peer = peerOf(node, net);
      const subject = node.name;
      if (peer === undefined) {
        const near = suggestNames(node.name, known);
        const meant = near.length > 0 ? `; near are ${near.join(", ")}` : "";
        const evidence = `no machine of the tailnet has this name or its agent's address${meant}`;
        return [{ status, subject, evidence, fix: `run tailscale up on ${node.name}` }];
      }
      if (peer.expired) {
        const fix = `run tailscale up --force-reauth on ${peer.name}`;
        return [{ status: "fail", subject, evidence: "its key has expired", fix }];
      }
      if (!peer.self && !peer.online) {
        const evidence = `the tailnet sees ${peer.name} offline`;
        return [{ status, subject, evidence, fix: `wake ${peer.name}, or run tailscale up there` }];
      }
      paths.push(`${node.name} ${wayTo(peer)}`);
      return [];
    });
    return { ok: `${countOf(nodes.length, "node")} up: ${paths.join(", ")}`, findings };
  },
};

const wayTo = ({ self, path }: Peer): string => {
  if (self) return "is here";
  if (path === undefined) return "idle";
  return path.kind === "relay" ? `by relay ${path.region}` : path.kind;
};

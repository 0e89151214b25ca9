/**
 * The way that packets to a node take now. `direct`: from machine to machine, to that `ip:port`.
 * `peer-relay`: through another node of the tailnet. `relay`: through a DERP server, whose region is
 * given by its code; slower, and the first packets of a conversation often go there.
 */
export type Path =
  | { kind: "direct"; endpoint: string }
  | { kind: "peer-relay"; endpoint: string }
  | { kind: "relay"; region: string };

/** The path of three facts of which tailscaled fills in the best one, and the others with `""`. */
export function pathOf(facts: {
  direct: string;
  peerRelay: string;
  relay: string;
}): Path | undefined {
  if (facts.direct !== "") return { kind: "direct", endpoint: facts.direct };
  if (facts.peerRelay !== "") return { kind: "peer-relay", endpoint: facts.peerRelay };
  if (facts.relay !== "") return { kind: "relay", region: facts.relay };
  return undefined;
}

import { isTailnetIpv4 } from "./address.ts";
import { shortName } from "./node-name.ts";
import { resolveNode } from "./resolve-node.ts";
import type { Peer, Status } from "./status.ts";

/** The answer to "where is that node?". */
export interface ResolvedNode extends Pick<Peer, "name" | "fqdn" | "lastSeen" | "tags"> {
  /** IPv4 address, to connect to as it is. */
  ip: string;
  family: 4;
  /** Stable node id; `undefined` when only the name server answered. */
  id: string | undefined;
  /** The control server's view: a hint. `undefined` when only the name server answered. */
  online: boolean | undefined;
  /** Whether it is this machine; `undefined` when only the name server answered. */
  self: boolean | undefined;
  /** `"proxy"`: a plain connect would miss the tailnet. See {@link Status.via}. */
  via: Status["via"];
  /**
   * This machine's own tailnet address, where that is known: bind the outgoing socket to it
   * (`net.connect` and `http.request` take it under this name). Should Tailscale have gone down
   * meanwhile, the connect fails with EADDRNOTAVAIL; unbound, it would leave by the default route.
   */
  localAddress: string | undefined;
  /** Name of the source that answered. */
  source: string;
  /** Age of the answer in milliseconds. */
  ageMs: number;
  /** The source failed just now or takes too long, and this is what it said last. */
  stale: boolean;
}

/** @throws ResolveError when the status does not vouch for the node's IPv4 address. */
export function fromStatus(
  status: Status,
  name: string,
  { ageMs, stale }: { ageMs: number; stale: boolean },
): ResolvedNode {
  const node = resolveNode(status, name);
  const { via, self, source } = status;
  const inTailnet = via === "direct" && isTailnetIpv4(node.ip) && isTailnetIpv4(self?.ip ?? "");
  return {
    ip: node.ip,
    family: 4,
    name: node.name,
    id: node.id,
    fqdn: node.fqdn,
    online: node.online,
    lastSeen: node.lastSeen,
    tags: node.tags,
    self: node.self,
    via,
    localAddress: inTailnet ? self?.ip : undefined,
    source,
    ageMs,
    stale,
  };
}

/** What a name server's answer comes to: it knows addresses, not machines. */
export function fromNameServer(answer: {
  ip: string;
  fqdn: string;
  suffix: string;
  source: string;
}): ResolvedNode {
  return {
    ip: answer.ip,
    family: 4,
    name: shortName(answer.fqdn, answer.suffix),
    id: undefined,
    fqdn: answer.fqdn,
    online: undefined,
    lastSeen: undefined,
    tags: [],
    self: undefined,
    // With userspace networking there is no route to the server either.
    via: "direct",
    localAddress: undefined,
    source: answer.source,
    ageMs: 0,
    stale: false,
  };
}

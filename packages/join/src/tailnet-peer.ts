import { isForwarded, peerOf, problem } from "@loom/http";
import { isTailnetAddress, type WhoIs } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import type { Context } from "hono";
import type { JoinContext } from "./join-context.ts";

/** A machine of the tailnet that may join without a token. */
export interface TailnetPeer {
  /** Its label in the tailnet. */
  name: string;
  /** Its stable id there. */
  id: string;
  /** Its tags, or the login of its owner. */
  who: string;
}

/**
 * Finds out which machine of the tailnet sent a request, from the connection itself.
 *
 * Only a rule of `LOOM_TAILNET_JOIN` lets a machine in. Everything else is refused: this machine itself, whose
 * programs all have its identity; a forwarded request, whose connection is the proxy's; a machine that another tailnet
 * shared into this one; and everybody while the daemon does not answer.
 *
 * @throws ProblemError `JOIN_TOKEN_REQUIRED`, `IDENTITY_UNAVAILABLE`.
 */
export async function findTailnetPeer(
  c: Context,
  {
    tailnetJoin,
    self,
    whois,
    log,
  }: Pick<JoinContext, "tailnetJoin" | "self" | "whois"> & { log: Log },
): Promise<TailnetPeer> {
  if (tailnetJoin.length === 0) throw problem("JOIN_TOKEN_REQUIRED", "off");
  const peer = peerOf(c);
  if (!peer || isForwarded(c) || !isTailnetAddress(peer.remoteAddress)) {
    throw problem("JOIN_TOKEN_REQUIRED", "connection");
  }
  const [own, found] = await Promise.all([
    self(),
    whois({ address: peer.remoteAddress, port: peer.remotePort }),
  ]).catch((error: unknown) => {
    log.warn({ err: error }, "the tailnet cannot be asked who wants to join");
    throw problem("IDENTITY_UNAVAILABLE");
  });
  if (own.addresses.includes(peer.remoteAddress)) {
    throw problem("JOIN_TOKEN_REQUIRED", "own");
  }
  if (!found.known) throw problem("JOIN_TOKEN_REQUIRED", "stranger");
  return toPeer(found, { tailnetJoin, suffix: own.fqdn.slice(own.fqdn.indexOf(".") + 1) });
}

function toPeer(
  { node, identity }: Extract<WhoIs, { known: true }>,
  { tailnetJoin, suffix }: { tailnetJoin: readonly string[]; suffix: string },
): TailnetPeer {
  const [label = "", ...rest] = node.fqdn.split(".");
  if (suffix === "" || rest.join(".") !== suffix) {
    throw problem("JOIN_TOKEN_REQUIRED", "shared");
  }
  const names = identity.kind === "tags" ? identity.tags : [identity.login];
  if (!names.some((name) => tailnetJoin.includes(name))) {
    throw problem("JOIN_TOKEN_REQUIRED", "rule");
  }
  return { name: label, id: node.id, who: names.join(" ") };
}

import type { Peer, Pong } from "@loom/tailscale-resolver";
import { fewAtOnce } from "../few-at-once.ts";
import type { Mesh } from "./mesh.ts";

/** More are not pinged: what comes of them is null. */
const MAX_PINGED = 30;
const TIMEOUT_MS = 2_000;

/**
 * Pings machines that are up, a few at a time. Asks their tailscaled, which no policy or firewall
 * stops; it also wakes the way to them.
 *
 * @returns By the machine's id.
 */
export async function pingPeers(mesh: Mesh, peers: readonly Peer[]): Promise<Map<string, Pong>> {
  const asked = peers.filter(({ online, ip }) => online && ip !== undefined).slice(0, MAX_PINGED);
  return new Map(await fewAtOnce(asked, async (peer) => [peer.id, await pingOne(mesh, peer)]));
}

const pingOne = (mesh: Mesh, { ip = "" }: Peer): Promise<Pong> =>
  mesh.ping(ip, { timeoutMs: TIMEOUT_MS }).catch((error: unknown) => ({
    reached: false,
    reason: error instanceof Error ? error.message : String(error),
  }));

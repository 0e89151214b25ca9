import type { Tailnet } from "@loom/explain";
import {
  cliSource,
  createResolver,
  firstOf,
  type LocalApi,
  localApiSource,
  type Peer,
  type Pong,
  type Resolver,
} from "@loom/tailscale-resolver";
import pMap from "p-map";

/** The questions that the hub asks Tailscale about its tailnet. */
export type TailnetClient = Pick<Resolver, "peers" | "self"> & Pick<LocalApi, "ping">;

/** Asks the Tailscale of this machine, each time somebody wants to know. */
export function createTailnetClient(): TailnetClient {
  const daemon = localApiSource();
  const resolver = createResolver({ source: firstOf([daemon, cliSource()]) });
  return { ...resolver, ping: (ip, options) => daemon.ping(ip, options) };
}

/** How long to wait for Tailscale. A caller does not wait longer for this part of its answer. */
const READ_MS = 3_000;

/** Reads the machines of the tailnet. It never rejects. */
export async function readTailnet(client: TailnetClient | undefined): Promise<Tailnet> {
  if (!client) return { isKnown: false, reason: "this hub does not use Tailscale" };
  const signal = AbortSignal.timeout(READ_MS);
  try {
    const [self, peers] = await Promise.all([client.self({ signal }), client.peers({ signal })]);
    return { isKnown: true, self, peers };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { isKnown: false, reason: `Tailscale on the hub's machine does not answer: ${said}` };
  }
}

/** How many machines are pinged. The others have no result. */
const MAX_PINGED = 30;
const PINGS_AT_ONCE = 3;
const PING_MS = 2_000;

/**
 * Pings the machines that are online, a few at a time. Their tailscaled answers itself, so no policy or
 * firewall stops a ping; it also establishes the path to them.
 *
 * @returns Results by the machine's id.
 */
export async function pingPeers(
  client: TailnetClient,
  peers: readonly Peer[],
): Promise<Map<string, Pong>> {
  const pinged = peers.filter(({ online, ip }) => online && ip !== undefined).slice(0, MAX_PINGED);
  const pingOne = async ({ id, ip = "" }: Peer): Promise<[string, Pong]> => [
    id,
    await client.ping(ip, { timeoutMs: PING_MS }).catch((error: unknown) => ({
      reached: false,
      reason: error instanceof Error ? error.message : String(error),
    })),
  ];
  return new Map(await pMap(pinged, pingOne, { concurrency: PINGS_AT_ONCE }));
}

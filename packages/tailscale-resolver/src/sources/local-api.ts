import { SourceError } from "../errors.ts";
import { findEndpoints } from "../local-api/endpoint.ts";
import { type Exchange, exchange, LOCAL_API, unanswered } from "../local-api/exchange.ts";
import { type Pong, parsePong, pingPath } from "../local-api/ping.ts";
import {
  parseWhoIs,
  type RemoteEnd,
  unknownCaller,
  type WhoIs,
  whoIsPath,
} from "../local-api/whois.ts";
import { parseStatus } from "../parse-status.ts";
import { milliseconds, type ReadOptions, type Source } from "../source.ts";

export interface LocalApiSourceOptions {
  /**
   * tailscaled's unix socket, or named pipe on Windows. Default: the usual socket on Linux, the
   * usual pipe on Windows, and on macOS both apps and then the open-source daemon. In containers it
   * is often `/tmp/tailscaled.sock`.
   */
  socketPath?: string | undefined;
  /**
   * The timeout of a whole exchange, in milliseconds. Default 1 500. The daemon answers no request
   * until its backend is up.
   */
  timeoutMs?: number | undefined;
}

export interface PingOptions extends ReadOptions {
  /** How long the node may take, in milliseconds. Default 2 000. */
  timeoutMs?: number | undefined;
}

/** tailscaled's LocalAPI: a source, and calls that only the daemon itself can answer. */
export interface LocalApi extends Source {
  /**
   * Identifies the other end of a TCP connection to this machine.
   *
   * Pass the socket's own address, never one from a header. Behind a proxy (including `tailscale
   * serve`) and with userspace networking, every caller seems to come from loopback. So loopback is
   * not trusted either: the result is `NOT_TAILNET`. Keep the answer for the connection, not for
   * the address, and for a minute at most, so that expired keys and withdrawn grants take effect.
   *
   * @param remote - An address that is mapped into IPv6 (`::ffff:100.64.0.1`) counts as the IPv4
   * address.
   * @throws SourceError when the daemon cannot answer. Then respond with 503 and admit nobody.
   * @throws TypeError when `remote` is not the end of a connection.
   */
  whois(remote: RemoteEnd, options?: ReadOptions): Promise<WhoIs>;
  /**
   * Pings a node from tailscaled to tailscaled, which needs no permission and no open port.
   *
   * A ping wakes an idle path, so ping on demand, and few nodes at a time. An answer does not mean
   * that the policy allows other traffic.
   *
   * @param ip - The address of a node, IPv4 or IPv6.
   * @throws SourceError when tailscaled did not answer.
   * @throws TypeError for a name.
   */
  ping(ip: string, options?: PingOptions): Promise<Pong>;
}

/**
 * Creates a client of tailscaled's LocalAPI. It keeps no connection open and does not need root.
 *
 * @throws RangeError for a timeout that a timer cannot take.
 */
export function localApiSource({
  socketPath,
  timeoutMs = 1_500,
}: LocalApiSourceOptions = {}): LocalApi {
  milliseconds("timeoutMs", timeoutMs, 1);
  const places: Exchange["places"] = socketPath
    ? () => [{ socketPath }]
    : (stop) => findEndpoints(stop);
  const get = (path: string, signal: AbortSignal | undefined) =>
    exchange({ places, method: "GET", path, timeoutMs, signal });

  return {
    name: LOCAL_API,

    async read({ signal } = {}) {
      const answer = await get("status", signal);
      if (answer.status !== 200) throw unanswered(answer);
      return parseStatus(answer.body, LOCAL_API);
    },

    async whois(remote, { signal } = {}) {
      const path = whoIsPath(remote);
      if (!path) return unknownCaller("NOT_TAILNET", remote.address);
      const answer = await get(path, signal);
      if (answer.status === 404) return unknownCaller("NO_MATCH", remote.address);
      if (answer.status !== 200) throw unanswered(answer);
      return parseWhoIs(answer.body);
    },

    async ping(ip, { signal, timeoutMs: pingMs = 2_000 } = {}) {
      const path = pingPath(ip);
      milliseconds("timeoutMs", pingMs, 1);
      try {
        const answer = await exchange({ places, method: "POST", path, timeoutMs: pingMs, signal });
        if (answer.status !== 200) throw unanswered(answer);
        return parsePong(answer.body);
      } catch (error) {
        // The daemon waits for the node without end, so silence means that the node did not answer.
        // `read` detects a hung daemon.
        if (!(error instanceof SourceError) || error.code !== "DAEMON_HUNG") throw error;
        return { reached: false, reason: `no answer within ${pingMs} ms` };
      }
    },
  };
}

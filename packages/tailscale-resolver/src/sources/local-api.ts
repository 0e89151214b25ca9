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
import { milliseconds } from "../milliseconds.ts";
import { parseStatus } from "../parse-status.ts";
import type { ReadOptions, Source } from "../source.ts";

export interface LocalApiSourceOptions {
  /**
   * tailscaled's unix socket, or named pipe on Windows. By default it is looked for: Linux's socket,
   * the pipe, and on macOS both apps and the open-source daemon. In containers often
   * `/tmp/tailscaled.sock`.
   */
  socketPath?: string | undefined;
  /** For a whole exchange; default 1 500. The daemon answers nobody until its backend is up. */
  timeoutMs?: number | undefined;
}

export interface PingOptions extends ReadOptions {
  /** How long the node may take; default 2 000. */
  timeoutMs?: number | undefined;
}

/** tailscaled's LocalAPI: a source, and what only the daemon itself can tell. */
export interface LocalApi extends Source {
  /**
   * Tells who is at the other end of a TCP connection to this machine.
   *
   * Pass the socket's own ends, never those of a header. Behind a proxy, `tailscale serve` included,
   * and with userspace networking every caller seems to come from loopback, so loopback is not
   * trusted here either: it is `NOT_TAILNET`. Remember the answer for the connection, not for the
   * address, and for a minute at most, so that expired keys and withdrawn grants count.
   *
   * @param remote - An address mapped into IPv6 (`::ffff:100.64.0.1`) is taken for what it is.
   * @throws SourceError when the daemon cannot tell: answer 503 then, and let nobody in.
   * @throws TypeError when `remote` is not the end of a connection.
   */
  whois(remote: RemoteEnd, options?: ReadOptions): Promise<WhoIs>;
  /**
   * Pings a node from tailscaled to tailscaled, which needs no permission and no open port.
   *
   * It wakes the path to a node that was idle, so ping on demand, and few nodes at a time. That the
   * node answers does not say that the policy lets anything else through.
   *
   * @param ip - Address of a node, of either family.
   * @throws SourceError when tailscaled did not answer.
   * @throws TypeError for a name.
   */
  ping(ip: string, options?: PingOptions): Promise<Pong>;
}

/**
 * Creates a client of tailscaled's LocalAPI, which keeps no connection. It needs no root.
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
        // The daemon waits for the node without end; for a hung daemon, `read` is the check.
        if (!(error instanceof SourceError) || error.code !== "DAEMON_HUNG") throw error;
        return { reached: false, reason: `no answer within ${pingMs} ms` };
      }
    },
  };
}

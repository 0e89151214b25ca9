import { isIP } from "node:net";
import { z } from "zod";
import { parseJson } from "../go-json.ts";
import { type Path, pathOf } from "../status.ts";
import { LOCAL_API } from "./exchange.ts";

/** The result of a ping. A node that does not answer is a result, not an error. */
export type Pong =
  | {
      reached: true;
      /** The round trip in milliseconds. */
      latencyMs: number;
      /** The path of the packets; `undefined` when the daemon does not report it. */
      path: Path | undefined;
    }
  | {
      reached: false;
      /** The daemon's message, such as `no matching peer`. */
      reason: string;
    };

/**
 * Returns the path and query of a ping.
 *
 * @throws TypeError for a name: tailscaled accepts only addresses.
 */
export function pingPath(ip: string): string {
  if (!isIP(ip)) {
    throw new TypeError(`${JSON.stringify(ip)} is not an IP address: resolve the name first`);
  }
  // The peer's tailscaled answers a "disco" ping itself, so neither the policy nor a firewall stops
  // it.
  return `ping?${new URLSearchParams({ ip, type: "disco" })}`;
}

// tailscale ipn/ipnstate PingResult. A failure has status 200 and `Err`.
const schema = z.object({
  Err: z.string().catch(""),
  LatencySeconds: z.number().min(0).catch(0),
  Endpoint: z.string().catch(""),
  PeerRelay: z.string().catch(""),
  DERPRegionCode: z.string().catch(""),
});

/**
 * Parses the daemon's answer to a ping.
 *
 * @throws SourceError `BAD_RESPONSE` when it is not the result of a ping.
 */
export function parsePong(json: string): Pong {
  const pong = parseJson(json, { schema, source: LOCAL_API, what: "the result of a ping" });
  if (pong.Err !== "") return { reached: false, reason: pong.Err };
  return {
    reached: true,
    latencyMs: pong.LatencySeconds * 1_000,
    path: pathOf({ direct: pong.Endpoint, peerRelay: pong.PeerRelay, relay: pong.DERPRegionCode }),
  };
}

import { isIP } from "node:net";
import { z } from "zod";
import { parseJson } from "../go-json.ts";
import { type Path, pathOf } from "../path.ts";
import { LOCAL_API } from "./exchange.ts";

/** What a ping came to. A node that does not answer is a result, not an error. */
export type Pong =
  | {
      reached: true;
      /** There and back, in milliseconds. */
      latencyMs: number;
      /** The way it took; `undefined` when the daemon does not say. */
      path: Path | undefined;
    }
  | {
      reached: false;
      /** The daemon's words, such as `no matching peer`. */
      reason: string;
    };

/** @throws TypeError for a name: tailscaled takes addresses only. */
export function pingPath(ip: string): string {
  if (!isIP(ip)) {
    throw new TypeError(`${JSON.stringify(ip)} is no IP address: resolve the name first`);
  }
  // "disco" is answered by the peer's tailscaled itself: neither policy nor firewall stop it.
  return `ping?${new URLSearchParams({ ip, type: "disco" })}`;
}

// tailscale ipn/ipnstate PingResult; failures are 200 with `Err`.
const schema = z.object({
  Err: z.string().catch(""),
  LatencySeconds: z.number().min(0).catch(0),
  Endpoint: z.string().catch(""),
  PeerRelay: z.string().catch(""),
  DERPRegionCode: z.string().catch(""),
});

/** @throws SourceError `BAD_RESPONSE` when it is not the result of a ping. */
export function parsePong(json: string): Pong {
  const pong = parseJson(json, { schema, source: LOCAL_API, what: "the result of a ping" });
  if (pong.Err !== "") return { reached: false, reason: pong.Err };
  return {
    reached: true,
    latencyMs: pong.LatencySeconds * 1_000,
    path: pathOf({ direct: pong.Endpoint, peerRelay: pong.PeerRelay, relay: pong.DERPRegionCode }),
  };
}

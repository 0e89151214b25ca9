import { type IncomingMessage, request } from "node:http";
import { BELL_PATH, type BellRoute, CLOCK_HEADER, RING_BACK_HEADER } from "./bell-address.ts";
import { isNeighbour } from "./neighbour.ts";

/** A bell that has not answered by then is one that nobody hears. */
const TIMEOUT_MS = 1_000;

/** What a doorbell answered. */
export interface RingAnswer {
  /**
   * The other machine's clock while the ring was there, in milliseconds since 1970; undefined for a bell
   * that does not tell it, as those of older versions.
   */
  clockMs: number | undefined;
}

/**
 * Rings a doorbell once.
 *
 * @param options.ringBack - The port of one's own doorbell, if the other may ring back.
 * @throws When it did not answer with 204 within a second, and for an address that is neither of
 *   the tailnet nor loopback: what a node says of itself must not lead anywhere else.
 */
export function ringDoorbell(
  { address, port, from }: BellRoute,
  { ringBack }: { ringBack?: number | undefined } = {},
): Promise<RingAnswer> {
  if (!isNeighbour(address)) {
    return Promise.reject(new RangeError(`${address} is no address of the tailnet`));
  }
  return new Promise((resolve, reject) => {
    const asked = request({
      host: address,
      port,
      path: BELL_PATH,
      method: "POST",
      agent: false,
      ...(from !== undefined && { localAddress: from }),
      headers: { "content-length": 0, ...(ringBack && { [RING_BACK_HEADER]: ringBack }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    asked.on("error", reject);
    asked.on("response", (answer) => {
      answer.destroy();
      if (answer.statusCode === 204) resolve({ clockMs: clockOf(answer) });
      else reject(new Error(`${address}:${port} answered ${answer.statusCode}: not a doorbell`));
    });
    asked.end();
  });
}

function clockOf({ headers }: IncomingMessage): number | undefined {
  const told = String(headers[CLOCK_HEADER] ?? "");
  // Thirteen digits until the year 2286.
  return /^\d{13}$/.test(told) ? Number(told) : undefined;
}

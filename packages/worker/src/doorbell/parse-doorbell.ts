import { isIP } from "node:net";
import { isNeighbour } from "./neighbour.ts";

/** Where a doorbell is to listen; `off` for none. */
export type DoorbellSetting =
  | "off"
  | {
      /** Undefined: the machine's address in the tailnet. */
      address: string | undefined;
      /** 0: any free port. */
      port: number;
    };

/**
 * Reads where a doorbell is to listen: `off`, an address, a port as `:7421`, or both as
 * `100.64.0.7:7421` or `[fd7a:115c:a1e0::7]:7421`.
 *
 * @returns undefined when the text is none of these, or the address neither of the tailnet nor
 *   loopback.
 */
export function parseDoorbell(text: string): DoorbellSetting | undefined {
  if (text === "off") return "off";
  if (isIP(text)) return isNeighbour(text) ? { address: text, port: 0 } : undefined;
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? (plain || undefined);
  const port = Number(digits);
  if (!(port <= 65_535) || (address !== undefined && !(isIP(address) && isNeighbour(address)))) {
    return undefined;
  }
  return { address, port };
}

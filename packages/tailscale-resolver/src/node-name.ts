import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { InvalidNameError } from "./errors.ts";

/** The longest name that DNS allows. */
const MAX_LENGTH = 253;

/**
 * Normalises a typed name so that it can be compared: trims it, converts it to lower case, removes
 * one final dot and converts international labels to `xn--`. An IP literal stays as it is.
 *
 * @throws InvalidNameError when it cannot be a node's name.
 */
export function normaliseName(input: string): string {
  const trimmed = input.trim();
  if (isIP(trimmed)) return trimmed;
  // Only for non-ASCII names: the URL parser in domainToASCII would turn a node called "7" into
  // "0.0.0.7".
  const ascii = /\P{ASCII}/u.test(trimmed) ? domainToASCII(trimmed) : trimmed.toLowerCase();
  const name = ascii.replace(/\.$/, "");
  if (name === "" || name.length > MAX_LENGTH || /[\s/@]/.test(name))
    throw new InvalidNameError(input);
  return name;
}

/** Returns the part before the first dot. */
export const firstLabel = (name: string): string => name.split(".", 1)[0] ?? "";

/**
 * Returns the short name of a node: its label if it is in our own tailnet, else the full name.
 *
 * So a bare label never reaches a foreign tailnet, although a node that is shared in may have the
 * same label as one of ours. The suffix is compared with its leading dot, because a control server
 * without a base domain reports names without dots, and our own name as the suffix.
 */
export function shortName(fqdn: string, suffix: string): string {
  if (suffix === "" || !fqdn.endsWith(`.${suffix}`)) return fqdn;
  const label = fqdn.slice(0, -suffix.length - 1);
  return label.includes(".") ? fqdn : label;
}

/**
 * Completes a typed name to a full name. Returns `undefined` for a label when the suffix is
 * unknown.
 */
export function fullName(name: string, suffix: string): string | undefined {
  if (name.includes(".")) return name;
  return suffix === "" ? undefined : `${name}.${suffix}`;
}

/** Converts a host name to a label as the control server does: tailscale util/dnsname. */
export function sanitiseHostName(hostName: string): string {
  const withoutDomain = hostName.replace(/\.(local|localdomain|lan)$/i, "");
  // A label has at most 63 bytes. Read as latin1, every byte of a longer character is removed
  // below.
  return Buffer.from(withoutDomain)
    .subarray(0, 63)
    .toString("latin1")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/gi, "")
    .replace(/[ .@_]/g, "-")
    .replace(/[^a-z0-9-]/gi, "")
    .toLowerCase();
}

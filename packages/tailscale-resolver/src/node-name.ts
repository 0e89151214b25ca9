import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { InvalidNameError } from "./errors.ts";

/** Longest name that DNS knows. */
const MAX_LENGTH = 253;

/**
 * Brings a typed name into the form that nodes are compared in: trimmed, lower case, without one
 * final dot, international labels as `xn--`. An IP literal stays as it is.
 *
 * @throws InvalidNameError when it cannot be a node's name.
 */
export function normaliseName(input: string): string {
  const trimmed = input.trim();
  if (isIP(trimmed)) return trimmed;
  // The URL parser behind domainToASCII would turn a node called "7" into "0.0.0.7".
  const ascii = /\P{ASCII}/u.test(trimmed) ? domainToASCII(trimmed) : trimmed.toLowerCase();
  const name = ascii.replace(/\.$/, "");
  if (name === "" || name.length > MAX_LENGTH || /[\s/@]/.test(name))
    throw new InvalidNameError(input);
  return name;
}

/** The part before the first dot. */
export const firstLabel = (name: string): string => name.split(".", 1)[0] ?? "";

/**
 * The name by which a node is known here: its label when it is of our own tailnet, else the FQDN.
 *
 * A bare label therefore never reaches a foreign tailnet: somebody can share us a node whose label
 * is one of ours. The suffix counts with its dot, since a control server without a base domain
 * reports names without dots and our own name as the suffix.
 */
export function shortName(fqdn: string, suffix: string): string {
  if (suffix === "" || !fqdn.endsWith(`.${suffix}`)) return fqdn;
  const label = fqdn.slice(0, -suffix.length - 1);
  return label.includes(".") ? fqdn : label;
}

/** The full name of a name as it was typed; `undefined` for a label when the suffix is not known. */
export function fullName(name: string, suffix: string): string | undefined {
  if (name.includes(".")) return name;
  return suffix === "" ? undefined : `${name}.${suffix}`;
}

/** A host name as the control server would make a label of it: tailscale util/dnsname. */
export function sanitiseHostName(hostName: string): string {
  const withoutDomain = hostName.replace(/\.(local|localdomain|lan)$/i, "");
  // Labels are cut at 63 bytes; read as latin1, every byte of a longer character is dropped below.
  return Buffer.from(withoutDomain)
    .subarray(0, 63)
    .toString("latin1")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/gi, "")
    .replace(/[ .@_]/g, "-")
    .replace(/[^a-z0-9-]/gi, "")
    .toLowerCase();
}

import { distance } from "fastest-levenshtein";
import { firstLabel, sanitiseHostName } from "./node-name.ts";
import type { Peer } from "./status.ts";

/** Names that may have been meant, best first: at most three, each one that `resolve` takes. */
export function suggestNames(name: string, nodes: Peer[]): string[] {
  const hostName = sanitiseHostName(name);
  const mistake = (node: Peer): number => {
    // The label of a shared-in node, or the right label under a wrong suffix.
    if (firstLabel(node.fqdn) === firstLabel(name)) return 0;
    if (hostName !== "" && sanitiseHostName(node.hostName) === hostName) return 0;
    return distance(name, node.name);
  };
  const tolerated = name.length < 5 ? 1 : 2;
  return nodes
    .map((node) => ({ name: node.name, mistake: mistake(node) }))
    .filter((candidate) => candidate.mistake <= tolerated)
    .sort((a, b) => a.mistake - b.mistake || (a.name < b.name ? -1 : 1))
    .slice(0, 3)
    .map((candidate) => candidate.name);
}

import type { Node, StrandSummary } from "@loom/client";

/** Names that a step may require although no agent reports them: the scheduler adds them to nodes. */
const ADDED = ["loom-hub", "node"];

/**
 * Writes the names of a hub's machines and workflows as a TypeScript declaration, by which
 * `@loom/workflow` checks `requires`, `host` and the like.
 *
 * @param from - The hub's address, for the comment.
 */
export function declareFleet(
  { nodes, workflows }: { nodes: readonly Node[]; workflows: readonly StrandSummary[] },
  from: string,
): string {
  const offered = nodes.flatMap(({ capabilities, askedCapabilities }) => [
    ...capabilities.map((capability) => capability.split("=")[0] ?? ""),
    ...askedCapabilities,
  ]);
  const names = offered.filter((name) => name !== "" && !name.startsWith("workflow:"));
  return `// Made by \`loom types\` of the hub at ${from}. Run it again when machines or workflows change.
import "@loom/workflow";

declare module "@loom/workflow" {
  interface Fleet {
    capabilities:${union([...names, ...ADDED])};
    nodes:${union(nodes.map(({ name }) => name))};
    workflows:${union(workflows.map(({ name }) => name))};
  }
}
`;
}

/** Each name once and in one order, so that the file changes only where the fleet does. */
function union(names: readonly string[]): string {
  const sorted = [...new Set(names)].sort();
  if (sorted.length === 0) return " never";
  return sorted.map((name) => `\n      | ${JSON.stringify(name)}`).join("");
}

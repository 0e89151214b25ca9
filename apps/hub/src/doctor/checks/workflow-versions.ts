import type { Check } from "../check.ts";
import { stuckFor } from "../stuck-for.ts";

/** Hub and nodes have the same code of each workflow. */
export const workflowVersions: Check = {
  name: "workflow-versions",
  examine: (facts) => {
    const differing = facts.nodes.flatMap((node) => {
      const other = [...facts.workflows].flatMap(([name, version]) => {
        const seen = versionsOf(name, node.capabilities);
        return seen.length === 0 || seen.includes(version)
          ? []
          : [`${name} in version ${seen.join(", ")}, the hub in ${version}`];
      });
      if (other.length === 0) return [];
      return [
        {
          status: "warn" as const,
          subject: node.name,
          evidence: `it has ${other.join("; ")}`,
          fix: `bring the hub's build and workflow files to ${node.name}, and start its agent again`,
        },
      ];
    });
    return {
      ok: "no node has other code of a workflow than the hub",
      findings: [...stuckFor(["no_version"], facts), ...differing],
    };
  },
};

function versionsOf(workflow: string, offered: readonly string[]): string[] {
  const prefix = `workflow:${workflow}@`;
  return offered.filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length));
}

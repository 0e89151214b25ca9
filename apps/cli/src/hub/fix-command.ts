import type { Explanation } from "@loom/client";
import { EXEC_CAPABILITY } from "@loom/workflow/exec";

/**
 * The command that brings a waiting step nearer to a node; undefined where only time or another
 * workflow helps. It goes by the code of what the nearest node fails, because the hub's own advice is
 * a sentence for a person at that machine.
 */
export function fixCommand({ nearest, missing }: Explanation): string | undefined {
  const offers = missing.map(nameOf).filter((name) => name !== undefined);
  const add = `loom node add${offers.length > 0 ? ` --may-offer ${offers.join(",")}` : ""}`;
  if (nearest === null) return add;
  const { node, failures } = nearest;
  // Its owner has to want it, at the machine itself.
  if (failures.length > 0 && failures.every(({ clause }) => clause === EXEC_CAPABILITY)) {
    return `set LOOM_EXEC=any for the agent on ${node} and start it again; then: loom node allow ${node} exec`;
  }
  const codes = new Set(failures.map(({ code }) => code));
  if (codes.has("missing_capability") || codes.has("wrong_host")) return add;
  if (codes.has("offline") || codes.has("version")) return `ssh ${node} loom-agent doctor`;
  if (codes.has("paused") || codes.has("draining")) return `loom node resume ${node}`;
  if (codes.has("full") || codes.has("concurrency_limit")) return "loom queue --state running";
  return undefined;
}

/** The capability of a clause that a machine could be allowed to declare: none of a negation. */
function nameOf(clause: string): string | undefined {
  const [, name] = /^([a-z0-9][a-z0-9._:-]*)(?:$|[\s<>=])/.exec(clause) ?? [];
  return name === "node" || name === "loom-hub" ? undefined : name;
}

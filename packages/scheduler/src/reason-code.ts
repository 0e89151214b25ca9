import type { AlikeNodes } from "./alike-nodes.ts";
import type { ReasonCode } from "./explanation.ts";
import { isLasting } from "./node-verdict.ts";
import type { NodeView } from "./node-view.ts";

/** Says what all nodes together come to. */
export function reasonCode(groups: readonly AlikeNodes<NodeView>[]): ReasonCode {
  const verdicts = new Set(groups.map(({ verdict }) => verdict));
  if (verdicts.size === 0) return "no_nodes";
  if (verdicts.has("eligible")) return "placeable";
  const capable = groups.filter(isCapable);
  if (capable.length === 0) {
    if (verdicts.has("version")) return "no_version";
    return verdicts.has("excluded") ? "excluded" : "no_capable_node";
  }
  const online = capable.filter(({ verdict }) => verdict !== "offline");
  if (online.length === 0) return "no_capable_node_online";
  const active = online.filter(({ verdict }) => verdict !== "paused" && verdict !== "draining");
  if (active.length === 0) return "no_capable_node_active";
  return active.every(({ verdict }) => verdict === "limited")
    ? "concurrency_limit"
    : "no_capable_node_free";
}

/** Whether nodes could run the job some time. */
export const isCapable = ({ failures }: Pick<AlikeNodes<NodeView>, "failures">): boolean =>
  !failures.some(isLasting);

import type { Rules } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import type { ReasonCode } from "./diagnose.ts";
import { type Explanation, explain } from "./explain.ts";

/** Whether a job can run with the current nodes. */
export interface Verdict extends Pick<Explanation, "code" | "summary" | "didYouMean"> {
  /**
   * - `now`: a node takes it.
   * - `when-free`: nodes could run it, and are busy.
   * - `drained`: nodes could run it, and those online are paused or draining.
   * - `known-but-offline`: nodes could run it, and are offline.
   * - `no-version`: nodes could run it if they had this version of its workflow's code.
   * - `never`: no known node could run it.
   */
  readonly verdict: "now" | "when-free" | "drained" | "known-but-offline" | "no-version" | "never";
  /** What a person can do to let it run; `null` if nothing is needed or no fix is known. */
  readonly fix: string | null;
}

const VERDICTS: Readonly<Record<ReasonCode, Verdict["verdict"]>> = {
  placeable: "now",
  no_capable_node_free: "when-free",
  concurrency_limit: "when-free",
  no_capable_node_active: "drained",
  no_capable_node_online: "known-but-offline",
  no_version: "no-version",
  no_nodes: "never",
  no_capable_node: "never",
  excluded: "when-free",
};

/** Returns whether and when a job can run with the current nodes. */
export function verdict<Job extends JobView, Node extends NodeView>(
  job: Job,
  nodes: readonly Node[],
  options: { rules?: Rules<Job, Node> } = {},
): Verdict {
  const { code, summary, didYouMean, fix } = explain(job, nodes, options);
  return { verdict: VERDICTS[code], code, summary, didYouMean, fix: fix?.action ?? null };
}

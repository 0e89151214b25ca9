import { explain } from "./explain.ts";
import type { Explanation, ReasonCode } from "./explanation.ts";
import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import type { Rules } from "./rules.ts";

/** What will become of a job, told when it is asked for. */
export interface Verdict extends Pick<Explanation, "code" | "summary" | "didYouMean"> {
  /**
   * - `now`: a node takes it.
   * - `when-free`: nodes could, and are busy.
   * - `drained`: nodes could, and those online are paused or draining.
   * - `known-but-offline`: nodes could, and are offline.
   * - `no-version`: nodes could, had they the code of its workflow in its version.
   * - `never`: no known node could.
   */
  readonly verdict: "now" | "when-free" | "drained" | "known-but-offline" | "no-version" | "never";
  /** What somebody could do about it; `null` where nothing is to be done, or known. */
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
  excluded: "never",
};

/** Says what would become of a job if it were asked for now. */
export function verdict<Job extends JobView, Node extends NodeView>(
  job: Job,
  nodes: readonly Node[],
  options: { rules?: Rules<Job, Node> } = {},
): Verdict {
  const { code, summary, didYouMean, fix } = explain(job, nodes, options);
  return { verdict: VERDICTS[code], code, summary, didYouMean, fix: fix?.action ?? null };
}

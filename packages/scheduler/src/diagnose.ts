import { type AlikeNodes, byNearness } from "./alike-nodes.ts";
import type { Fix, ReasonCode } from "./explanation.ts";
import { findFix } from "./find-fix.ts";
import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import { reasonCode } from "./reason-code.ts";
import type { Filter } from "./rule.ts";
import { summarize } from "./summarize.ts";

/** What all nodes together come to, for one job. */
export interface Diagnosis<Job extends JobView, Node extends NodeView> {
  readonly code: ReasonCode;
  readonly summary: string;
  /** Clauses that no node meets. */
  readonly missing: readonly string[];
  /** Nodes by how little speaks against them; none where one takes the job. */
  readonly nearest: readonly AlikeNodes<Node>[];
  readonly fix: Fix<Job, Node> | null;
}

/**
 * Says why a job has to wait, and what would help.
 *
 * @param nodes - All nodes, by name; `groups` holds the same ones.
 */
export function diagnose<Job extends JobView, Node extends NodeView>(
  job: Job,
  nodes: readonly Node[],
  groups: readonly AlikeNodes<Node>[],
  filters: readonly Filter<Job, Node>[],
): Diagnosis<Job, Node> {
  const code = reasonCode(groups);
  const missing = job.requires.filter((clause) => groups.every((group) => lacks(group, clause)));
  const nearest = code === "placeable" ? [] : groups.toSorted(byNearness);
  const firsts = nearest.flatMap((group) => group.nodes.slice(0, 1));
  return {
    code,
    summary: summarize({ job, code, groups, nodes, missing, filters }),
    missing,
    nearest,
    fix: code === "placeable" ? null : findFix(job, firsts, filters),
  };
}

/** Whether a clause is among what speaks against nodes. */
export const lacks = ({ failures }: AlikeNodes<NodeView>, clause: string): boolean =>
  failures.some((failure) => failure.clause === clause);

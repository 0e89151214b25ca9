import { type Clause, findContradiction } from "@loom/workflow";
import { readClause } from "../requirement/evaluate.ts";
import { applyFilters, type Filter, type FilterFailure } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import { type Fix, findFix } from "./find-fix.ts";
import {
  byNearness,
  countNodes,
  isCapable,
  isLasting,
  lacks,
  type NodeGroup,
} from "./node-groups.ts";

/**
 * Whether and why a job has to wait.
 *
 * - `placeable`: a node takes it now.
 * - `no_nodes`: no node is known.
 * - `no_capable_node`: no known node could ever run it, so waiting does not help.
 * - `no_version`: nodes could run it if they had this version of its workflow's code.
 * - `excluded`: nodes could run it, and all of them gave it back or were lost with it too often.
 * - `no_capable_node_online`: nodes could run it, and all of them are offline.
 * - `no_capable_node_active`: nodes could run it, and those online are paused or draining.
 * - `concurrency_limit`: nodes could run it, and its concurrency key is at its limit.
 * - `no_capable_node_free`: nodes could run it, and those that are online and active are full.
 */
export type ReasonCode =
  | "placeable"
  | "no_nodes"
  | "no_capable_node"
  | "no_version"
  | "excluded"
  | "no_capable_node_online"
  | "no_capable_node_active"
  | "concurrency_limit"
  | "no_capable_node_free";

/** Why one job waits, over all nodes. */
export interface Diagnosis<Job extends JobView, Node extends NodeView> {
  readonly code: ReasonCode;
  readonly summary: string;
  /** Clauses that no node meets. */
  readonly missing: readonly string[];
  /** Groups with the fewest failures first; empty if a node takes the job. */
  readonly nearest: readonly NodeGroup<Node>[];
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
  groups: readonly NodeGroup<Node>[],
  filters: readonly Filter<Job, Node>[],
): Diagnosis<Job, Node> {
  const code = reasonCode(groups);
  const missing = job.requires.filter((clause) => groups.every((group) => lacks(group, clause)));
  const nearest = code === "placeable" ? [] : groups.toSorted(byNearness);
  const impossible = impossibleOf(job, code);
  const firsts = nearest.flatMap((group) => group.nodes.slice(0, 1));
  return {
    code,
    summary:
      impossible.length > 0
        ? `no machine can meet ${impossible.join(" and ")} together: the step has to require something else`
        : summarize({ job, code, groups, nodes, missing, filters }),
    missing,
    nearest,
    fix: code === "placeable" || impossible.length > 0 ? null : findFix(job, firsts, filters),
  };
}

function reasonCode(groups: readonly NodeGroup<NodeView>[]): ReasonCode {
  const found = new Set(groups.map(({ eligibility }) => eligibility));
  if (found.size === 0) return "no_nodes";
  if (found.has("eligible")) return "placeable";
  const capable = groups.filter(isCapable);
  if (capable.length === 0) {
    if (found.has("version")) return "no_version";
    return found.has("excluded") ? "excluded" : "no_capable_node";
  }
  const online = capable.filter(({ eligibility }) => eligibility !== "offline");
  if (online.length === 0) return "no_capable_node_online";
  const active = online.filter(
    ({ eligibility }) => eligibility !== "paused" && eligibility !== "draining",
  );
  if (active.length === 0) return "no_capable_node_active";
  return active.every(({ eligibility }) => eligibility === "limited")
    ? "concurrency_limit"
    : "no_capable_node_free";
}

/**
 * Returns the clauses, including the host, that no machine can meet together, if that is why no
 * node takes the job.
 */
function impossibleOf({ requires, host }: JobView, code: ReasonCode): string[] {
  if (code !== "no_capable_node" && code !== "no_nodes") return [];
  const texts = new Map<Clause, string>();
  for (const text of requires) {
    const clause = readClause(text);
    if (clause !== undefined) texts.set(clause, text);
  }
  if (host != null) {
    texts.set({ kind: "compare", key: "node", operator: "=", value: host }, `host ${host}`);
  }
  return findContradiction([...texts.keys()]).flatMap((clause) => texts.get(clause) ?? []);
}

/** The facts that a summary is made of. */
interface Facts<Job extends JobView, Node extends NodeView> {
  readonly job: Job;
  readonly code: ReasonCode;
  readonly groups: readonly NodeGroup<Node>[];
  readonly nodes: readonly Node[];
  readonly missing: readonly string[];
  readonly filters: readonly Filter<Job, Node>[];
}

/** Says in one sentence why the job waits, or that it does not. */
function summarize<Job extends JobView, Node extends NodeView>(facts: Facts<Job, Node>): string {
  const { code, groups } = facts;
  const those = (eligibility: string) =>
    groups.filter((group) => group.eligibility === eligibility);
  switch (code) {
    case "no_nodes":
      return "no node is known";
    case "placeable":
      return `${count(those("eligible"))} can take it now`;
    case "no_version":
      return `no node has its code: ${list(facts, those("version"), isLasting)}`;
    case "excluded":
      return `no node is left to try: ${list(facts, those("excluded"), isLasting)}`;
    case "no_capable_node":
      return incapable(facts);
    default: {
      const capable = groups.filter(isCapable);
      return `${count(capable)} could run it: ${list(facts, capable, () => true)}`;
    }
  }
}

/** Says why no node could ever run the job. It leaves out failures that pass with time. */
function incapable<Job extends JobView, Node extends NodeView>(facts: Facts<Job, Node>): string {
  const { job, groups, missing, nodes } = facts;
  const names = `(nodes: ${shorten(
    nodes.slice(0, LISTED).map(({ name }) => name),
    nodes.length,
  )})`;
  const named = groups.filter(({ failures }) =>
    failures.every(({ code }) => code !== "wrong_host"),
  );
  if (named.length === 0) {
    return `the step is pinned to ${job.host}, and no known node has that name ${names}`;
  }
  if (named.length < groups.length) {
    return `the step is pinned to a node that cannot run it: ${list(facts, named, isLasting)}`;
  }
  if (missing.length > 0) return `no known node offers ${missing.join(", ")} ${names}`;
  return `none of ${count(groups)} could run it: ${list(facts, groups, isLasting)}`;
}

function count(groups: readonly NodeGroup<NodeView>[]): string {
  const nodes = countNodes(groups);
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}

// The number of nodes that a summary lists; the rest is counted.
const LISTED = 8;

/** Lists each node with its failures or, if there are many nodes, each kind of failure with a count. */
function list<Job extends JobView, Node extends NodeView>(
  { job, filters }: Facts<Job, Node>,
  groups: readonly NodeGroup<Node>[],
  isShown: (failure: FilterFailure) => boolean,
): string {
  if (countNodes(groups) <= LISTED) {
    return groups
      .flatMap(({ nodes }) => nodes)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((node) => {
        const failures = applyFilters(filters, job, node).filter(isShown);
        return `${node.name} ${failures.map(({ reason }) => reason).join(" and ")}`;
      })
      .join(", ");
  }
  const tally = new Map<string, number>();
  for (const { failures, nodes } of groups) {
    const codes = new Set(failures.filter(isShown).map(({ code }) => code.replaceAll("_", " ")));
    const kind = [...codes].join(" and ");
    tally.set(kind, (tally.get(kind) ?? 0) + nodes.length);
  }
  const kinds = [...tally]
    .sort(([kind1, a], [kind2, b]) => b - a || (kind1 < kind2 ? -1 : 1))
    .map(([kind, nodes]) => `${nodes} ${kind}`);
  return shorten(kinds.slice(0, LISTED), kinds.length);
}

const shorten = (shown: readonly string[], of: number): string =>
  of > shown.length ? `${shown.join(", ")} and ${of - shown.length} more` : shown.join(", ");

import { applyFilters, type Filter, type FilterFailure } from "../rules/rule.ts";
import type { NodeView } from "../views.ts";

/**
 * Whether a node can take a job, and if not, what has to change first. `ineligible`: it could never run
 * it; `version`: it could, with other code; `unavailable`: a filter of one's own refuses it for now.
 */
export type Eligibility =
  | "eligible"
  | "ineligible"
  | "version"
  | "excluded"
  | "offline"
  | "draining"
  | "paused"
  | "limited"
  | "full"
  | "unavailable";

/** Nodes with the same failing codes and clauses. */
export interface NodeGroup<Node extends NodeView> {
  readonly eligibility: Eligibility;
  /** The failures of the first node. Numbers in the reasons of the others may differ. */
  readonly failures: readonly FilterFailure[];
  /** Sorted by name, at least one. */
  readonly nodes: readonly Node[];
}

/**
 * Applies the filters to nodes, which are sorted by name, and groups those with the same failures.
 *
 * @param classOf - Takes the index of a node. Returns the same number only for nodes known to have
 * the same failures; only one of them is checked.
 */
export function groupNodes<Job, Node extends NodeView>(
  job: Job,
  nodes: readonly Node[],
  filters: readonly Filter<Job, Node>[],
  classOf: (index: number) => number | undefined = () => undefined,
): NodeGroup<Node>[] {
  const groups = new Map<string, NodeGroup<Node> & { readonly nodes: Node[] }>();
  const ofClass = new Map<number, Node[]>();
  for (const [index, node] of nodes.entries()) {
    const id = classOf(index);
    const same = id === undefined ? undefined : ofClass.get(id);
    if (same !== undefined) {
      same.push(node);
      continue;
    }
    const failures = applyFilters(filters, job, node);
    const key = failureKey(failures);
    let group = groups.get(key);
    if (group === undefined) {
      group = { eligibility: eligibilityOf(failures), failures, nodes: [] };
      groups.set(key, group);
    }
    group.nodes.push(node);
    if (id !== undefined) ofClass.set(id, group.nodes);
  }
  return [...groups.values()];
}

/** Returns the same text for lists of failures with the same codes and clauses. */
export function failureKey(failures: readonly Pick<FilterFailure, "code" | "clause">[]): string {
  let text = "";
  for (const { code, clause = "" } of failures) text += `${code} ${clause}\n`;
  return text;
}

/** The change that has to come first is listed first. */
const AVAILABILITY: readonly (readonly [code: string, Eligibility])[] = [
  ["offline", "offline"],
  ["draining", "draining"],
  ["paused", "paused"],
  ["concurrency_limit", "limited"],
  ["full", "full"],
];

/** Returns the eligibility that follows from a node's failures. */
export function eligibilityOf(failures: readonly FilterFailure[]): Eligibility {
  if (failures.length === 0) return "eligible";
  const lasting = failures.filter(isLasting);
  if (lasting.length > 0) {
    if (lasting.every(({ code }) => code === "version")) return "version";
    return lasting.every(({ code }) => code === "excluded") ? "excluded" : "ineligible";
  }
  const [, eligibility = "unavailable"] =
    AVAILABILITY.find(([code]) => failures.some((failure) => failure.code === code)) ?? [];
  return eligibility;
}

/** Whether waiting does not help. */
export const isLasting = ({ about }: FilterFailure): boolean => about === "ability";

/** Whether the nodes could run the job at some time. */
export const isCapable = ({ failures }: Pick<NodeGroup<NodeView>, "failures">): boolean =>
  !failures.some(isLasting);

/** Whether a clause fails on the nodes of a group. */
export const lacks = ({ failures }: NodeGroup<NodeView>, clause: string): boolean =>
  failures.some((failure) => failure.clause === clause);

/** Returns the number of nodes in groups. */
export const countNodes = (groups: readonly Pick<NodeGroup<NodeView>, "nodes">[]): number =>
  groups.reduce((sum, { nodes }) => sum + nodes.length, 0);

/**
 * Orders groups by the number of their failures. Failures that waiting does not help count first.
 */
export const byNearness = (a: NodeGroup<NodeView>, b: NodeGroup<NodeView>): number =>
  a.failures.filter(isLasting).length - b.failures.filter(isLasting).length ||
  a.failures.length - b.failures.length ||
  ((a.nodes[0]?.name ?? "") < (b.nodes[0]?.name ?? "") ? -1 : 1);

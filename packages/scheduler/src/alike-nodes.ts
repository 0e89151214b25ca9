import type { NodeVerdict } from "./explanation.ts";
import { isLasting, nodeVerdict } from "./node-verdict.ts";
import type { NodeView } from "./node-view.ts";
import type { Filter } from "./rule.ts";
import { type Failure, judge } from "./rules.ts";

/** Nodes that the same codes and clauses speak against. */
export interface AlikeNodes<Node extends NodeView> {
  readonly verdict: NodeVerdict;
  /** Those of the first node; figures in the reasons of the others may differ. */
  readonly failures: readonly Failure[];
  /** By name, at least one. */
  readonly nodes: readonly Node[];
}

/** A text that is the same for failures that are alike. */
export function likeness(failures: readonly Pick<Failure, "code" | "clause">[]): string {
  let text = "";
  for (const { code, clause = "" } of failures) text += `${code} ${clause}\n`;
  return text;
}

/**
 * Judges nodes, given by name, and puts together those that are alike.
 *
 * @param classOf - A number that is the same for nodes known to be alike, by index: one of them is judged.
 */
export function groupAlike<Job, Node extends NodeView>(
  job: Job,
  nodes: readonly Node[],
  filters: readonly Filter<Job, Node>[],
  classOf: (index: number) => number | undefined = () => undefined,
): AlikeNodes<Node>[] {
  const groups = new Map<string, AlikeNodes<Node> & { readonly nodes: Node[] }>();
  const ofClass = new Map<number, Node[]>();
  for (const [index, node] of nodes.entries()) {
    const id = classOf(index);
    const alike = id === undefined ? undefined : ofClass.get(id);
    if (alike !== undefined) {
      alike.push(node);
      continue;
    }
    const failures = judge(filters, job, node);
    const key = likeness(failures);
    let group = groups.get(key);
    if (group === undefined) {
      group = { verdict: nodeVerdict(failures), failures, nodes: [] };
      groups.set(key, group);
    }
    group.nodes.push(node);
    if (id !== undefined) ofClass.set(id, group.nodes);
  }
  return [...groups.values()];
}

/** How many nodes there are in groups. */
export const countNodes = (groups: readonly Pick<AlikeNodes<NodeView>, "nodes">[]): number =>
  groups.reduce((sum, { nodes }) => sum + nodes.length, 0);

/** Orders groups by how little speaks against them: what waiting does not help counts most. */
export const byNearness = (a: AlikeNodes<NodeView>, b: AlikeNodes<NodeView>): number =>
  a.failures.filter(isLasting).length - b.failures.filter(isLasting).length ||
  a.failures.length - b.failures.length ||
  ((a.nodes[0]?.name ?? "") < (b.nodes[0]?.name ?? "") ? -1 : 1);

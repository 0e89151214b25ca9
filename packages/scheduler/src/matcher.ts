import type { Filter } from "./filter.ts";
import { hasCapabilities } from "./filters/has-capabilities.ts";
import { hasFreeSlot } from "./filters/has-free-slot.ts";
import { isHost } from "./filters/is-host.ts";
import { isOnline } from "./filters/is-online.ts";
import { notDraining } from "./filters/not-draining.ts";
import { notPaused } from "./filters/not-paused.ts";
import type { NodeView } from "./node-view.ts";
import type { Placement, Rejection } from "./placement.ts";
import { refuse } from "./refuse.ts";
import type { Scorer } from "./scorer.ts";
import { leastBusy } from "./scorers/least-busy.ts";
import { prefers } from "./scorers/prefers.ts";
import type { StepView } from "./step-view.ts";

/** The filters that Loom places with. */
export const defaultFilters: readonly Filter[] = [
  isHost,
  hasCapabilities,
  isOnline,
  notPaused,
  notDraining,
  hasFreeSlot,
];

/** The scorers that Loom places with. */
export const defaultScorers: readonly Scorer[] = [prefers, leastBusy];

/** The rules of a matcher: a node fits when all filters say so, the best score wins. */
export interface MatcherOptions<Step extends StepView, Node extends NodeView> {
  readonly filters: readonly Filter<Step, Node>[];
  readonly scorers: readonly Scorer<Step, Node>[];
}

/** Chooses nodes for steps. */
export interface Matcher<Step extends StepView, Node extends NodeView> {
  /**
   * Chooses the node for one step.
   *
   * Every filter judges every node, so a rejection is complete. Equal scores go to the name that
   * sorts first; the order of `nodes` changes nothing.
   */
  place(step: Step, nodes: readonly Node[]): Placement;

  /** Chooses nodes for several steps, the first one first, each taking a slot of its node. */
  placeAll<Id>(batch: readonly BatchItem<Id, Step>[], nodes: readonly Node[]): BatchPlacement<Id>[];
}

/** One step of a batch, with whatever its owner knows it by. */
export interface BatchItem<Id, Step extends StepView = StepView> {
  readonly id: Id;
  readonly step: Step;
}

/** What a batch came to for one of its steps. */
export interface BatchPlacement<Id> {
  readonly id: Id;
  readonly placement: Placement;
}

/** Builds a matcher from rules of one's own; start from `defaultFilters` and `defaultScorers`. */
export function createMatcher<Step extends StepView = StepView, Node extends NodeView = NodeView>({
  filters,
  scorers,
}: MatcherOptions<Step, Node>): Matcher<Step, Node> {
  const weights = scorers.reduce((sum, { weight }) => sum + weight, 0);

  function scoreOf(step: Step, node: Node): number {
    const sum = scorers.reduce((all, scorer) => all + scorer.weight * scorer.score(step, node), 0);
    return weights === 0 ? 0 : sum / weights;
  }

  function rejectionOf(step: Step, node: Node): Rejection {
    const failures = filters.flatMap((filter) => {
      const check = filter.check(step, node);
      if (check.fits) return [];
      const { fits: _no, ...why } = check;
      return [{ filter: filter.name, about: filter.about, ...why }];
    });
    return { node: node.name, failures };
  }

  function place(step: Step, nodes: readonly Node[]): Placement {
    const rejected: Rejection[] = [];
    const eligible: { node: string; score: number }[] = [];
    for (const node of nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const rejection = rejectionOf(step, node);
      if (rejection.failures.length > 0) rejected.push(rejection);
      else eligible.push({ node: node.name, score: scoreOf(step, node) });
    }
    // The sort is stable, so equal scores stay in the order of names.
    eligible.sort((a, b) => b.score - a.score);
    const [best] = eligible;
    return best === undefined
      ? refuse(step, rejected)
      : { placed: true, node: best.node, score: best.score, eligible, rejected };
  }

  function placeAll<Id>(
    batch: readonly BatchItem<Id, Step>[],
    nodes: readonly Node[],
  ): BatchPlacement<Id>[] {
    let current = nodes;
    return batch.map(({ id, step }) => {
      const placement = place(step, current);
      if (placement.placed) {
        current = current.map((node) =>
          node.name === placement.node ? { ...node, busy: node.busy + 1 } : node,
        );
      }
      return { id, placement };
    });
  }

  return { place, placeAll };
}

/** Chooses nodes by the default filters and scorers. */
export const { place, placeAll }: Matcher<StepView, NodeView> = createMatcher({
  filters: defaultFilters,
  scorers: defaultScorers,
});

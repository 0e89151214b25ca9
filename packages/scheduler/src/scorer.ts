import type { NodeView } from "./node-view.ts";
import type { StepView } from "./step-view.ts";

/** One wish about where a step should run. */
export interface Scorer<Step extends StepView = StepView, Node extends NodeView = NodeView> {
  readonly name: string;
  /** How much it counts against the other scorers; above 0. */
  readonly weight: number;
  /** From 0 (worst) to 1 (best). */
  readonly score: (step: Step, node: Node) => number;
}

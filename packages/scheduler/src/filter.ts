import type { NodeView } from "./node-view.ts";
import type { StepView } from "./step-view.ts";

/**
 * One rule about where a step may run.
 *
 * `about` says what a failure means. A node that fails on `ability` could not run the step however
 * long one waits; a node that fails on `availability` only cannot run it now.
 */
export interface Filter<Step extends StepView = StepView, Node extends NodeView = NodeView> {
  readonly name: string;
  readonly about: "ability" | "availability";
  readonly check: (step: Step, node: Node) => Check;
}

/** The answer of a filter; see {@link Failure} for the fields of a no. */
export type Check =
  | { readonly fits: true }
  | {
      readonly fits: false;
      readonly code: string;
      readonly reason: string;
      readonly missing?: readonly string[];
    };

/** The yes of a filter. */
export const fits: Check = { fits: true };

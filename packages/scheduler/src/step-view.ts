import type { Preference } from "@loom/workflow";

/** What the scheduler has to know about a step. */
export interface StepView {
  /** Clauses that its node has to meet. */
  readonly requires: readonly string[];
  /** The node it is pinned to. */
  readonly host?: string | null;
  /** Clauses that its node should meet if there is a choice. */
  readonly prefers?: readonly Preference[];
}

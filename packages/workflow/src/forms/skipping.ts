import type { RunsAfter, Step } from "../step.ts";

/**
 * How a step that has ended counts for the steps after it.
 *
 * `passed`: as a success, perhaps without a result. `skipped`: it was left out, with all that follows it.
 */
export type Outcome = "passed" | "failed" | "skipped";

/** Why a step was skipped. */
export type SkipReason =
  /** A step that it needs failed, was cancelled, or was itself skipped for that. */
  | "need_failed"
  /** A step that it needs was skipped with all that follows it. */
  | "need_skipped"
  /** It runs after a failure, and there was none. */
  | "nothing_failed"
  /** Its own condition decided so. */
  | "condition";

/** The end of a step. */
export type StepEnd =
  | { readonly state: "succeeded" | "failed" | "cancelled" }
  | { readonly state: "skipped"; readonly reason: SkipReason };

/** Returns how a step that has ended counts for the steps after it. The table is in docs/forms.md. */
export function outcomeOf(end: StepEnd, step: Pick<Step, "optional" | "skip">): Outcome {
  switch (end.state) {
    case "succeeded":
      return "passed";
    case "failed":
      return step.optional ? "passed" : "failed";
    case "cancelled":
      return "failed";
    case "skipped":
      if (end.reason === "need_failed") return "failed";
      return end.reason === "need_skipped" || step.skip === "cascade" ? "skipped" : "passed";
  }
}

/**
 * Returns what becomes of a step, by the outcomes of the steps that it needs; null stands for one that has not ended.
 *
 * @returns The reason to skip it, or whether it runs or still waits.
 */
export function fateOf(
  needs: readonly (Outcome | null)[],
  runsAfter: RunsAfter,
): "runs" | "blocked" | SkipReason {
  if (runsAfter === "success" && needs.includes("failed")) return "need_failed";
  if (needs.includes(null)) return "blocked";
  if (runsAfter === "success" && needs.includes("skipped")) return "need_skipped";
  return runsAfter === "failure" && !needs.includes("failed") ? "nothing_failed" : "runs";
}

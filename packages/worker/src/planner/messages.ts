import type { PlanCall, StepEvaluation, StepFunction } from "@loom/scheduler";
import type { InputIssue, JsonValue, RunPlan } from "@loom/workflow";

/** The settings that a planner process starts with. */
export interface PlannerProcessSettings {
  memoryMb: number;
}

/** A question to a planner process, which answers one at a time. */
export type PlannerRequest =
  /** Which workflows does this module export? */
  | { type: "load"; module: string }
  | {
      type: "plan";
      module: string;
      workflow: string;
      /** The digest of the bundle, and the native modules that it needs. */
      version: string;
      externals: readonly string[];
      /** As JSON; undefined when there is no input. */
      input: string | undefined;
      defaultHost: string | undefined;
    }
  /** Does this step run, and what does it wait for? */
  | {
      type: "decide";
      module: string;
      workflow: string;
      step: string;
      input: JsonValue;
      results: Readonly<Record<string, JsonValue>>;
      /** The signal that came, as JSON. */
      payload: string | null;
    }
  /** What does the schema of an approval make of what a person typed in? */
  | { type: "parse"; module: string; workflow: string; step: string; input: JsonValue };

/** The author's code that runs. `import` stands for a module and all code at its top level. */
export type WorkflowCall =
  | PlanCall
  | { readonly step: null; readonly function: "import" }
  | { readonly step: string; readonly function: StepFunction };

/** The answer of a planner process. */
export type PlannerAnswer =
  /** `manifests`: a list of `WorkflowManifest`, as JSON. */
  | { type: "loaded"; manifests: string }
  | { type: "planned"; plan: RunPlan }
  | { type: "invalid_input"; workflow: string; issues: readonly InputIssue[] }
  | { type: "plan_failed"; workflow: string; step: string | null; problem: string }
  | { type: "decided"; evaluation: StepEvaluation }
  | { type: "parsed"; input: JsonValue }
  | {
      type: "condition_failed";
      workflow: string;
      step: string;
      function: StepFunction;
      problem: string;
    }
  | { type: "import_failed"; error: ImportError };

/** A message from a planner process. */
export type FromPlanner =
  /** `rssMb`: the memory that the process uses. Each bundle brings libraries of its own. */
  | (PlannerAnswer & { rssMb: number })
  /** The author's code runs next. */
  | { type: "calling"; call: WorkflowCall }
  /** An error was thrown where nobody catches it, for example by a timer. */
  | { type: "stray"; message: string };

/** The reason why a module cannot be imported. */
export interface ImportError {
  message: string;
  code: string | undefined;
  stack: string;
}

import type { AnyWorkflow } from "@loom/workflow";

/**
 * The workflows that a module exports, whatever their names, also in lists.
 *
 * @param exports - What importing it gave.
 */
export const workflowsOf = (exports: object): AnyWorkflow[] => [
  ...new Set(Object.values(exports).flat().filter(isWorkflow)),
];

// By its shape: the file may have imported a copy of @loom/workflow of its own.
const isWorkflow = (value: unknown): value is AnyWorkflow =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  "version" in value &&
  "steps" in value &&
  Array.isArray(value.steps);

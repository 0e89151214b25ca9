import { suggestNames } from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import { UnknownWorkflowError } from "./errors.ts";

/** @throws UnknownWorkflowError with the names that may have been meant. */
export function findWorkflow(
  name: string,
  workflows: ReadonlyMap<string, AnyWorkflow>,
): AnyWorkflow {
  const workflow = workflows.get(name);
  if (workflow) return workflow;
  const known = [...workflows.keys()].sort();
  throw new UnknownWorkflowError(name, known, suggestNames(name, known));
}

import type { AnyWorkflow } from "@loom/workflow";
import { crossNodeSmoke } from "./cross-node-smoke/workflow.ts";

export { crossNodeSmoke };

/** What comes with Loom. */
export const workflows: readonly AnyWorkflow[] = [crossNodeSmoke];

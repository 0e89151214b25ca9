export { type RunOptions, runWorkflow, type WorkflowRun } from "./run-workflow.ts";

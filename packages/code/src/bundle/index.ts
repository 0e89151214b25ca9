export { bundleProgram, type ProgramBundle } from "./bundle-program.ts";
export { bundleWorkflow, type WorkflowBundle } from "./bundle-workflow.ts";
export { type BundledFile, createBundler } from "./create-bundler.ts";
export { BundleError } from "./problem.ts";

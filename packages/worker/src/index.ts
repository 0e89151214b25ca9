export { type Bell, createBell } from "./bell.ts";
export { createWorker, type Worker, type WorkerOptions } from "./create-worker.ts";
export {
  CancelledError,
  InvalidResultError,
  LeaseLostError,
  ShutdownError,
  StepTimeoutError,
  SupersededError,
} from "./errors.ts";
export { type LoadedWorkflows, loadWorkflows } from "./load-workflows.ts";
export type { Log } from "./log.ts";
export { describeMachine, type Machine } from "./machine.ts";
export { repeat } from "./repeat.ts";

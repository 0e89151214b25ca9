export { type Bell, createBell } from "./bell.ts";
export { createWorker } from "./create-worker.ts";
export {
  CancelledError,
  CommandFailedError,
  CommandNotStartedError,
  InvalidResultError,
  JournalError,
  LeaseLostError,
  ShutdownError,
  StepMemoryError,
  StepProcessError,
  StepTimeoutError,
  SupersededError,
} from "./errors.ts";
export { createInlineRunner } from "./inline-runner.ts";
export { type Journal, type JournalEntry, openJournal } from "./journal.ts";
export {
  importWorkflows,
  type LoadedWorkflows,
  loadWorkflows,
  type WorkflowModule,
} from "./load-workflows.ts";
export type { Log } from "./log.ts";
export { describeMachine, type Machine } from "./machine.ts";
export { createProcessRunner, type ProcessRunnerOptions } from "./process-runner.ts";
export { repeat } from "./repeat.ts";
export type { Progress } from "./run-step.ts";
export { stepEnvironment } from "./step-environment.ts";
export type { Attempt, StepRunner, StepTask } from "./step-runner.ts";
export type { RunningJob, Worker, WorkerOptions, WorkerStatus } from "./worker.ts";

export { fetchFromQueue } from "./code/fetch-from-queue.ts";
export { programFiles } from "./code/program-files.ts";
export {
  type CodeFault,
  createFetchedCode,
  type FetchedCode,
  ownCode,
  type StepCode,
  type WorkflowModule,
} from "./code/step-code.ts";
export { bundleStepProgram } from "./code/step-program.ts";
export { createWorker } from "./create-worker.ts";
export { createExecGate, type ExecGate } from "./exec/gate.ts";
export { type ExecPolicy, parseExecPolicy } from "./exec/policy.ts";
export {
  FileError,
  type FileHolder,
  type FileTransfer,
  isDiskFull,
  noFiles,
} from "./files/file-transfer.ts";
export { type Journal, type JournalEntry, JournalError, openJournal } from "./journal.ts";
export type { Log } from "./log.ts";
export { repeat } from "./loop.ts";
export {
  describeMachine,
  homeFolder,
  keepIdentity,
  type Machine,
  type MachineIdentity,
  type TailnetIdentity,
} from "./machine.ts";
export {
  CancelledError,
  ExecRefusedError,
  InvalidResultError,
  LeaseLostError,
  ShutdownError,
  StepTimeoutError,
} from "./outcome.ts";
export {
  compileCacheOf,
  createPlanner,
  type FilePlanner,
  type PlannerOptions,
  readWorkflows,
} from "./planner/create-planner.ts";
export {
  createInlinePlanner,
  type Planner,
  PlannerBusyError,
  WorkflowCodeError,
} from "./planner/planner.ts";
export { findWorkflowFiles } from "./planner/workflow-files.ts";
export {
  titleOf as workflowProblemTitle,
  type WorkflowProblem,
} from "./planner/workflow-problem.ts";
export type { PlannedModule, WorkflowCode } from "./planner/workflow-set.ts";
export { binary } from "./probes/binary.ts";
export {
  describeNode,
  type NodeDescription,
  type ParsedCapabilities,
  parseCapabilities,
} from "./probes/capabilities.ts";
export { type Credentials, credentials, parseCredentials } from "./probes/credentials.ts";
export { type Probe, type Probed, type ProbeReport, runProbe } from "./probes/probe.ts";
export { createProber, type Prober } from "./probes/prober.ts";
export { docker, nvidia } from "./probes/programs.ts";
export { disk, system } from "./probes/system.ts";
export { tailscale } from "./probes/tailscale.ts";
export { SupersededError } from "./session.ts";
export { CommandFailedError, CommandNotStartedError } from "./step-process/exec.ts";
export type { NodeFault } from "./step-process/node-fault.ts";
export { createProcessRunner, type ProcessRunnerOptions } from "./step-process/process-runner.ts";
export type { Progress } from "./step-process/run-step.ts";
export { stepEnvironment } from "./step-process/secrets.ts";
export { StepMemoryError, StepProcessError } from "./step-process/step-process.ts";
export {
  createInlineRunner,
  type RunningStep,
  type StepRunner,
  type StepTask,
} from "./step-process/step-runner.ts";
export {
  isTraceparent,
  openTelemetry,
  type Span,
  type SpanOptions,
  type Tracing,
  untraced,
} from "./tracing.ts";
export { createPlaces, createWaker, sleep, type Waker } from "./wait.ts";
export {
  createReplyWaker,
  createWakeClient,
  type ReplyWaker,
  sendWakeUp,
  type WakeAddress,
  type WakeAnswer,
  type WakeClient,
  type WakeClientOptions,
  type WakeRoute,
} from "./wake/client.ts";
export {
  type KeptWakeServer,
  keepWakeServer,
  openWakeServer,
  parseWakeSetting,
  type WakeServer,
  type WakeServerOptions,
  type WakeSetting,
} from "./wake/server.ts";
export type { KnownWorkflow, RunningJob, Worker, WorkerOptions, WorkerStatus } from "./worker.ts";

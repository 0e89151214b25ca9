export { type Bell, createBell } from "./bell.ts";
export { createWorker } from "./create-worker.ts";
export type { BellAddress, BellRoute } from "./doorbell/bell-address.ts";
export { createRinger, type Ringer, type RingerOptions } from "./doorbell/create-ringer.ts";
export { type KeptDoorbell, keepDoorbell } from "./doorbell/keep-doorbell.ts";
export { type Doorbell, type DoorbellOptions, openDoorbell } from "./doorbell/open-doorbell.ts";
export { type DoorbellSetting, parseDoorbell } from "./doorbell/parse-doorbell.ts";
export { createRingBack, type RingBack } from "./doorbell/ring-back.ts";
export { type RingAnswer, ringDoorbell } from "./doorbell/ring-doorbell.ts";
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
export { binary } from "./probes/binaries.ts";
export { createProber, type Prober } from "./probes/create-prober.ts";
export { type Credentials, credentials, parseCredentials } from "./probes/credentials.ts";
export { disk } from "./probes/disk.ts";
export { docker } from "./probes/docker.ts";
export { nvidia } from "./probes/nvidia.ts";
export type { Finding, Probe, ProbeReport } from "./probes/probe.ts";
export { runProbe } from "./probes/run-probe.ts";
export { system } from "./probes/system.ts";
export { tailscale } from "./probes/tailscale.ts";
export { type NodeDescription, toOffer } from "./probes/to-offer.ts";
export { createProcessRunner, type ProcessRunnerOptions } from "./process-runner.ts";
export { repeat } from "./repeat.ts";
export type { Progress } from "./run-step.ts";
export { stepEnvironment } from "./step-environment.ts";
export type { Attempt, StepRunner, StepTask } from "./step-runner.ts";
export {
  isTraceparent,
  openTelemetry,
  type Span,
  type SpanOptions,
  type Tracing,
  untraced,
} from "./tracing.ts";
export type { RunningJob, Worker, WorkerOptions, WorkerStatus } from "./worker.ts";

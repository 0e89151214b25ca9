export { type Bell, createBell } from "./bell.ts";
export {
  createWorker,
  type RunningJob,
  type Worker,
  type WorkerOptions,
  type WorkerStatus,
} from "./create-worker.ts";
export type { BellAddress } from "./doorbell/bell-address.ts";
export { createRinger, type Ringer, type RingerOptions } from "./doorbell/create-ringer.ts";
export { type KeptDoorbell, keepDoorbell } from "./doorbell/keep-doorbell.ts";
export { type Doorbell, type DoorbellOptions, openDoorbell } from "./doorbell/open-doorbell.ts";
export { type DoorbellSetting, parseDoorbell } from "./doorbell/parse-doorbell.ts";
export { createRingBack, type RingBack } from "./doorbell/ring-back.ts";
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
export { repeat } from "./repeat.ts";

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
export { keepDoorbell, type KeptDoorbell } from "./doorbell/keep-doorbell.ts";
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
export { repeat } from "./repeat.ts";

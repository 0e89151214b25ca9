import type { ClaimedJob } from "@loom/queue";
import type { Step } from "@loom/workflow";
import type { Outcome } from "./classify.ts";
import type { Log } from "./log.ts";
import type { Progress } from "./run-step.ts";

/** What a runner is told about an attempt. */
export interface StepTask {
  job: ClaimedJob;
  step: Step;
  node: string;
  /** Aborts with the reason as an error. */
  signal: AbortSignal;
  /** Takes the attempt's output, without secrets. */
  write: (text: string) => void;
  /** Called when the step's code is about to run. */
  onStarted: () => void;
  onProgress: (progress: Progress) => void;
  log: Log;
}

export interface Attempt {
  /** Resolves as soon as it is known what the attempt came to. Never fails. */
  outcome: Promise<Outcome>;
  /** Resolves when the step's code has really ended: until then it takes a slot. */
  ended: Promise<void>;
}

/** Where steps run. */
export interface StepRunner {
  start(task: StepTask): Attempt;
  /** Ends what is left. The runner is of no use after it. */
  close(): Promise<void>;
}

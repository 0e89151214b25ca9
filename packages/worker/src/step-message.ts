import type { ClaimedJob } from "@loom/queue";
import type { Outcome } from "./classify.ts";
import type { Progress } from "./run-step.ts";

/** What a step's process is started with. */
export interface StepProcessSettings {
  /** The module that exports the workflow; imported at once. */
  module: string;
  memoryMb: number;
}

/** What the agent says to a step's process. */
export type ToStep =
  | {
      type: "run";
      job: ClaimedJob;
      /** The workflow's version as the agent knows it; undefined where nobody compares. */
      version: string | undefined;
      node: string;
      mark: string;
      secrets: readonly string[];
      commandGraceMs: number;
    }
  | { type: "abort"; reason: AbortReason };

/** What a step's process says to the agent. */
export type FromStep =
  | { type: "group"; group: number; isAlive: boolean }
  /** The step's code is next. */
  | { type: "started" }
  | { type: "progress"; progress: Progress }
  /** `isBroken`: the process must not run another step. */
  | { type: "ended"; outcome: Outcome; isBroken: boolean };

/** An error's way to another process: its `code` says which one it is. */
export interface AbortReason {
  name: string;
  code: string;
  message: string;
}

/** The file descriptor that is closed when the agent ends, whatever ended it. */
export const LIFELINE_FD = 4;

/** The variable that every process of an attempt carries. */
export const MARK_VARIABLE = "LOOM_ATTEMPT";

/** What a step's process writes to both of its outputs when a step has ended. */
export const endOfOutput = (mark: string): string => `\0${mark}\n`;

import type { ClaimedJob } from "@loom/queue";
import type { FileReply, FileWish } from "../files/step-files.ts";
import type { Outcome } from "../outcome.ts";
import type { Progress } from "./run-step.ts";

/** The settings of a step's process. */
export interface StepProcessSettings {
  /** The module that exports the workflow, imported at once. Null only tests whether a process starts. */
  module: string | null;
  memoryMb: number;
}

/** A message from the agent to a step's process. */
export type ToStep =
  | {
      type: "run";
      job: ClaimedJob;
      node: string;
      mark: string;
      /** The folder of the control group that holds only this process and its descendants. */
      cgroup: string | null;
      secrets: readonly string[];
      commandGraceMs: number;
      /** The folder for files of the attempt, which may not exist yet. */
      filesFolder: string;
    }
  /** How a wish for a file ended. */
  | { type: "file"; wish: number; reply: FileReply }
  | { type: "abort"; reason: AbortReason }
  /** The answer to a checkpoint of the same number. */
  | { type: "checkpointed"; number: number; error: AbortReason | null };

/** A message from a step's process to the agent. */
export type FromStep =
  /** Node and this program run. An error from now on is the fault of the module or the step. */
  | { type: "ready" }
  | { type: "group"; group: number; isAlive: boolean }
  /** The step's code runs next. */
  | { type: "started" }
  | { type: "progress"; progress: Progress }
  | { type: "checkpoint"; number: number; json: string }
  /** The step asks for a file, and waits for the reply with this number. */
  | { type: "file"; wish: number; ask: FileWish }
  /** `unclean` says why the process must not run another step. Null when it may. */
  | { type: "ended"; outcome: Outcome; unclean: string | null };

/** An error as it is sent to another process. Its `code` identifies it. */
export interface AbortReason {
  name: string;
  code: string;
  message: string;
}

/** The file descriptor that is closed when the agent ends for any reason. */
export const LIFELINE_FD = 4;

/** The variable that every process of an attempt carries. */
export const MARK_VARIABLE = "LOOM_ATTEMPT";

/** The mark that a step's process writes to both outputs when a step has ended. */
export const endOfOutput = (mark: string): string => `\0${mark}\n`;

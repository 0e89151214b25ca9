import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ClaimedJob } from "@loom/queue";
import type { AnyWorkflow } from "@loom/workflow";
import { openAttemptFiles } from "../files/attempt-files.ts";
import { type FileTransfer, noFiles } from "../files/file-transfer.ts";
import type { Log } from "../log.ts";
import { classify, decline, type Outcome } from "../outcome.ts";
import type { FaultSource } from "./node-fault.ts";
import { type Progress, runStep } from "./run-step.ts";

/** The step that a runner runs, and its surroundings. */
export interface StepTask {
  job: ClaimedJob;
  node: string;
  /** Aborts with the reason as an error. */
  signal: AbortSignal;
  /** Takes the attempt's output, without secrets. */
  write: (text: string) => void;
  /** Called when the step's code is about to run. */
  onStarted: () => void;
  onProgress: (progress: Progress) => void;
  /** Stores a checkpoint, of several that wait the latest. Resolves when the database has it or a later one. */
  onCheckpoint: (json: string) => Promise<void>;
  log: Log;
}

/** A step under way. */
export interface RunningStep {
  /** Resolves as soon as the attempt's outcome is known. Never fails. */
  outcome: Promise<Outcome>;
  /** Resolves when the step's code has ended. Until then it takes a slot. */
  ended: Promise<void>;
}

/** Where steps run. */
export interface StepRunner extends FaultSource {
  start(task: StepTask): RunningStep;
  /** Ends all processes. The runner cannot be used after it. */
  close(): Promise<void>;
}

/** How long a step may take to end after its signal aborted. */
const STUCK_AFTER_MS = 5_000;

/**
 * Runs steps inside this process, for tests and scripts whose steps are values and not files.
 *
 * A step that never yields stops everything else. A step that goes on after its signal aborted cannot
 * be stopped: its attempt gets the abort's outcome, the log says that it is stuck, and it keeps its slot.
 */
export function createInlineRunner(
  workflows: readonly AnyWorkflow[],
  { files = noFiles }: { files?: FileTransfer } = {},
): StepRunner {
  return {
    start({ job, log, ...task }) {
      const workflow = workflows.find(({ name }) => name === job.workflow);
      const step = workflow?.steps.find(({ name }) => name === job.step);
      if (!step) {
        const reason = `${task.node} has no code for step ${job.step} of workflow ${job.workflow}`;
        return { outcome: Promise.resolve(decline(reason)), ended: Promise.resolve() };
      }
      const decoder = new TextDecoder();
      task.onStarted();
      const attemptFiles = openAttemptFiles(job, {
        transfer: files,
        folder: path.join(tmpdir(), `loom-files-${randomUUID()}`),
        signal: task.signal,
        log,
      });
      const running = runStep(step, job, {
        ...task,
        filesFolder: attemptFiles.folder,
        askForFile: attemptFiles.ask,
        commandGraceMs: STUCK_AFTER_MS / 2,
        write: (output) =>
          task.write(
            typeof output === "string" ? output : decoder.decode(output, { stream: true }),
          ),
        saveCheckpoint: task.onCheckpoint,
        onGroup: () => {},
      });
      const ended = running.then(() => (attemptFiles.isUsed ? attemptFiles.close() : undefined));
      return { outcome: Promise.race([running, stuck(task.signal, ended, log)]), ended };
    },
    fault: () => null,
    async recheck() {},
    async close() {},
  };
}

/** Resolves with the abort's outcome when the step has not ended in time after it. */
function stuck(signal: AbortSignal, ended: Promise<void>, log: Log): Promise<Outcome> {
  return new Promise((resolve) => {
    const onAbort = () => {
      const timer = setTimeout(() => {
        log.error({ err: signal.reason }, "step goes on after its abort: it keeps its slot");
        resolve(classify(signal.reason));
      }, STUCK_AFTER_MS);
      void ended.then(() => clearTimeout(timer));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    void ended.then(() => signal.removeEventListener("abort", onAbort));
  });
}

import { inspect } from "node:util";
import type { ClaimedJob } from "@loom/queue";
import {
  type JsonValue,
  keyOfItem,
  type LogMethod,
  limits,
  type MapPolicy,
  type Step,
  type StepContext,
  type StepLog,
} from "@loom/workflow";
import { createCheckpoint } from "../checkpoint/step-checkpoint.ts";
import { toStoredJson } from "../checkpoint/stored-json.ts";
import { createStepFiles, type FileReply, type FileWish } from "../files/step-files.ts";
import { classify, InvalidResultError, type Outcome } from "../outcome.ts";
import { createCommands } from "./exec.ts";

/** A note of progress is a line for people. */
const MAX_NOTE_LENGTH = 500;

/** The progress that a step reports. */
export interface Progress {
  fraction: number;
  note: string | undefined;
}

/** The surroundings of a step, in any runner. */
export interface Surroundings {
  node: string;
  signal: AbortSignal;
  /** How long a command may take to end after SIGTERM. */
  commandGraceMs: number;
  /** Receives the output of the step and its commands. */
  write: (output: string | Buffer) => void;
  onProgress: (progress: Progress) => void;
  /** Gives a checkpoint to the agent; resolves when it is stored. */
  saveCheckpoint: (json: string) => Promise<void>;
  /** Called for each command's process group when it begins and when it is empty. */
  onGroup: (group: number, isAlive: boolean) => void;
  /** The folder for files of the attempt, which may not exist yet. It goes with the attempt. */
  filesFolder: string;
  /** Stores or fetches a file. Never fails. */
  askForFile: (wish: FileWish) => Promise<FileReply>;
  /** Hides secrets in a stored error. */
  scrub?: (text: string) => string;
}

/** What of a step's definition its attempt needs. */
export type RunnableStep = Pick<Step, "run"> & Partial<Pick<Step, "map" | "checkpoint">>;

/**
 * Runs a step's code with its context until it ends. Never fails: an error is the step's outcome.
 */
export async function runStep(
  step: RunnableStep,
  job: ClaimedJob,
  {
    node,
    signal,
    commandGraceMs,
    write,
    onProgress,
    saveCheckpoint,
    onGroup,
    filesFolder,
    askForFile,
    scrub,
  }: Surroundings,
): Promise<Outcome> {
  const log = createStepLog(write);
  let lastReported = "";
  const commands = createCommands({ signal, graceMs: commandGraceMs, write, onGroup });
  let succeeded = false;
  let endCheckpoint = (_: { succeeded: boolean }) => {};
  try {
    const { checkpoint, checkpointed, end } = createCheckpoint(
      job,
      { checkpoint: step.checkpoint ?? null },
      { store: saveCheckpoint, signal, log },
    );
    endCheckpoint = end;
    const context: StepContext = {
      input: job.input,
      results: job.results,
      signal,
      log,
      progress(fraction, text) {
        const clamped = Math.min(1, Math.max(0, Number(fraction) || 0));
        const note = text === undefined ? undefined : String(text).slice(0, MAX_NOTE_LENGTH);
        const line = `progress ${Math.round(clamped * 100)}%${note ? ` ${note}` : ""}`;
        // A step may report more often than anybody can see.
        if (line === lastReported) return;
        lastReported = line;
        log.info({}, line);
        onProgress({ fraction: clamped, note });
      },
      checkpoint,
      checkpointed,
      exec: commands.exec,
      files: createStepFiles({ folder: filesFolder, ask: askForFile, signal }),
      attempt: job.attempt,
      node,
      run: { id: job.runId },
      step: job.step,
      workflow: job.workflow,
      traceparent: job.traceparent,
    };
    const result = await step.run(
      job.item ? { ...context, ...toItem(job.item, step.map ?? { key: null }) } : context,
    );
    const stored = toStoredJson(result ?? null, RESULT);
    succeeded = true;
    return { outcome: "succeeded", result: JSON.parse(stored) as JsonValue };
  } catch (error) {
    return classify(error, scrub);
  } finally {
    endCheckpoint({ succeeded });
    await commands.close();
  }
}

/** What an item adds to the context. The database has checked that every item has its key. */
const toItem = (
  { value: item, index }: NonNullable<ClaimedJob["item"]>,
  policy: Pick<MapPolicy, "key">,
) => ({ item, index, key: keyOfItem(policy, item, index) });

const RESULT = {
  what: "the result",
  verb: "return",
  maxBytes: limits.resultBytes,
  refuse: (message: string, options?: ErrorOptions) => new InvalidResultError(message, options),
};

/** Creates a step's log. A line has the time, the level, the message and the facts. */
function createStepLog(write: (line: string) => void): StepLog {
  const at = (level: string): LogMethod =>
    ((facts: object | string, message = "") => {
      const [text, rest] =
        typeof facts === "string" ? [facts, ""] : [message, ` ${printed(facts)}`];
      write(`${new Date().toISOString()} ${level} ${text}${rest === " {}" ? "" : rest}\n`);
    }) as LogMethod;
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Facts as JSON, or as Node prints them when they cannot be JSON: logging must not fail a step. */
function printed(facts: object): string {
  try {
    return JSON.stringify(facts, (_key, value: unknown) =>
      value instanceof Error ? inspect(value) : value,
    );
  } catch {
    return inspect(facts, { breakLength: Infinity });
  }
}

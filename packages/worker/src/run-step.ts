import type { ClaimedJob } from "@loom/queue";
import type { JsonValue, Step } from "@loom/workflow";
import { classify, type Outcome } from "./classify.ts";
import { InvalidResultError } from "./errors.ts";
import { createCommands } from "./exec.ts";
import { createStepLog } from "./step-log.ts";

// The queue refuses more. Asked with a result that takes too long to send, it would
// never answer at all.
const MAX_RESULT_BYTES = 1_048_576;

/** How far a step says that it is. */
export interface Progress {
  fraction: number;
  note: string | undefined;
}

/** What a step has around it, wherever it runs. */
export interface Surroundings {
  node: string;
  signal: AbortSignal;
  /** How long a command may take to end after SIGTERM. */
  commandGraceMs: number;
  /** Takes what the step and its commands write. */
  write: (output: string | Buffer) => void;
  onProgress: (progress: Progress) => void;
  /** Told of each process group of a command when it begins and when it is empty. */
  onGroup: (group: number, isAlive: boolean) => void;
  /** Hides secrets in what is kept of an error. */
  scrub?: (text: string) => string;
}

/**
 * Runs a step's code to its end, with all that its context gives it. Never fails: what it
 * throws is its outcome.
 */
export async function runStep(
  step: Pick<Step, "run">,
  job: ClaimedJob,
  { node, signal, commandGraceMs, write, onProgress, onGroup, scrub }: Surroundings,
): Promise<Outcome> {
  const log = createStepLog(write);
  let lastTold = "";
  const commands = createCommands({ signal, graceMs: commandGraceMs, write, onGroup });
  try {
    const result = await step.run({
      input: job.input,
      results: job.results,
      signal,
      log,
      progress(fraction, note) {
        const clamped = Math.min(1, Math.max(0, Number(fraction) || 0));
        const told = `progress ${Math.round(clamped * 100)}%${note ? ` ${note}` : ""}`;
        // A step may tell more often than anybody can see.
        if (told === lastTold) return;
        lastTold = told;
        log.info({}, told);
        onProgress({ fraction: clamped, note });
      },
      exec: commands.exec,
      attempt: job.attempt,
      node,
      run: { id: job.runId },
      step: job.step,
      workflow: job.workflow,
      traceparent: job.traceparent,
    });
    return { outcome: "succeeded", result: toJson(result ?? null) };
  } catch (error) {
    return classify(error, scrub);
  } finally {
    await commands.close();
  }
}

/** The result as it will be read back, whatever the compiler believed that it is. */
function toJson(result: unknown): JsonValue {
  let json: string | undefined;
  try {
    json = JSON.stringify(result);
  } catch (cause) {
    throw new InvalidResultError("the result cannot be written as JSON", { cause });
  }
  if (json === undefined) throw new InvalidResultError(`a ${typeof result} is not JSON`);
  const bytes = Buffer.byteLength(json);
  if (bytes > MAX_RESULT_BYTES) {
    throw new InvalidResultError(
      `the result holds ${bytes} bytes of ${MAX_RESULT_BYTES}: store it elsewhere and return a reference`,
    );
  }
  return JSON.parse(json) as JsonValue;
}

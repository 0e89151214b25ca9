import { constants } from "node:os";
import type { Run, RunStep } from "@loom/client";
import type { Cli } from "../cli.ts";
import { EXEC_FAULT } from "../exit-codes.ts";
import { clean } from "../output/text.ts";

const TIMED_OUT = 124;
const INTERRUPTED = 128 + constants.signals.SIGINT;

/** The exit code of a run that has ended: of several commands the highest. Says what no exit code tells. */
export function exitOfRun(
  cli: Cli,
  { steps }: Run,
  { isArray, wasCancelled }: { isArray: boolean; wasCancelled: boolean },
): number {
  const codes = steps.map((step) => exitOfStep(step, wasCancelled));
  if (!isArray && !cli.json) {
    const [step] = steps;
    const [code] = codes;
    const error = step?.state === "failed" ? toError(step.error) : undefined;
    // What a program that ran has to say, it has said itself.
    const isProgram = error?.code === "COMMAND_FAILED";
    if (error && !isProgram)
      cli.note(`loom: ${clean(error.message ?? "it failed")} [${error.code ?? "FAILED"}]`);
    else if (code === EXEC_FAULT && step?.state === "cancelled") cli.note("loom: it was cancelled");
    else if (error?.signal) cli.note(`loom: the command was ended by ${clean(error.signal)}`);
  }
  return Math.max(0, ...codes);
}

/** How one command ended, as a shell says it. */
export function exitOfStep(
  { state, error }: Pick<RunStep, "state" | "error">,
  wasCancelled: boolean,
): number {
  if (state === "succeeded") return 0;
  if (state === "cancelled" || state === "skipped") return wasCancelled ? INTERRUPTED : EXEC_FAULT;
  const { exitCode, signal, code } = toError(error);
  if (code === "STEP_TIMEOUT") return TIMED_OUT;
  if (Number.isInteger(exitCode)) return Number(exitCode);
  const number = constants.signals[signal as NodeJS.Signals];
  return number === undefined ? EXEC_FAULT : 128 + number;
}

const toError = (error: unknown) =>
  (error ?? {}) as { message?: string; code?: string; exitCode?: unknown; signal?: string };

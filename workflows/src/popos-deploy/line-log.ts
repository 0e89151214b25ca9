import type { Output } from "@loom/ssh";
import type { StepLog } from "@loom/workflow";

const MAX_LINES = 5_000;
const MAX_CHARACTERS = 2_000;

/** Writes what a command prints to a step's log, one entry a line, and not more than is readable. */
export function createLineLog(log: StepLog, command: string) {
  const pending = { stdout: "", stderr: "" };
  let lines = 0;
  const write = (stream: Output["stream"], line: string) => {
    lines += 1;
    if (lines <= MAX_LINES) log.info({ command, stream }, line.slice(0, MAX_CHARACTERS));
    else if (lines === MAX_LINES + 1) log.warn({ command }, "further lines are left out");
  };
  return {
    add({ stream, text }: Output): void {
      const parts = (pending[stream] + text).split("\n");
      // Of an endless line only the beginning is written: more need not be held.
      pending[stream] = (parts.pop() ?? "").slice(0, MAX_CHARACTERS);
      for (const line of parts) write(stream, line);
    },
    end(): void {
      for (const stream of ["stdout", "stderr"] as const) {
        if (pending[stream] !== "") write(stream, pending[stream]);
      }
    },
  };
}

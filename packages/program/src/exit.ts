import { constants } from "node:os";
import { inspect } from "node:util";
import { QueueRequestError } from "@loom/queue";
import { createRedactor, secretsIn } from "./redact.ts";

/** The end of a program: its exit code, and the message for a person or the error itself. */
export interface Exit {
  code: number;
  message: unknown;
}

/** The exit codes of a program. */
export interface ExitCodes {
  /** The program's name, which begins its messages. */
  program: string;
  /** Exit codes by an error's `code`. Any other error is a fault of the program and ends with 1. */
  codes: Readonly<Record<string, number | ((error: Error) => number)>>;
  /** The exit code when the database refuses a call for any other reason. */
  refused: number;
  /** How to fix an error, by its `code`. */
  hints?: Readonly<Record<string, string>>;
}

/** Creates the function that ends a program. An error that a person can fix has a message without a stack. */
export const createToExit =
  ({ program, codes, refused, hints = {} }: ExitCodes) =>
  (error: unknown): Exit => {
    if (!(error instanceof Error)) return { code: 1, message: error };
    const known = "code" in error ? String(error.code) : "";
    const found = codes[known] ?? (error instanceof QueueRequestError ? refused : undefined);
    if (found === undefined) return { code: 1, message: error };
    const hint = hints[known];
    return {
      code: typeof found === "function" ? found(error) : found,
      message: `${program}: ${error.message}${hint ? `; ${hint}` : ""}`,
    };
  };

/**
 * Runs a program and ends the process with its exit code. A code of `LOOM_FINAL_EXIT_CODES` (numbers with spaces
 * between) becomes 0: a service manager that starts a program again after any other code sets it.
 */
export function runProgram(
  main: (args: readonly string[]) => Promise<number>,
  toExit: (error: unknown) => Exit,
): void {
  const final = process.env.LOOM_FINAL_EXIT_CODES?.split(" ") ?? [];
  // It is about this process, not about what this process starts.
  delete process.env.LOOM_FINAL_EXIT_CODES;
  const end = (code: number) => process.exit(final.includes(String(code)) ? 0 : code);
  // A step that ignores its abort could keep the process alive without end.
  main(process.argv.slice(2)).then(end, (error: unknown) => {
    const { code, message } = toExit(error);
    const redact = createRedactor(secretsIn(process.env));
    console.error(redact(typeof message === "string" ? message : inspect(message)));
    end(code);
  });
}

/**
 * Ends the program by SIGPIPE, as other programs do, when the reader of its output closes it: `|
 * head`.
 */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", () => process.exit(128 + constants.signals.SIGPIPE));
  }
}

import { QueueRequestError, QueueUnavailableError } from "@loom/queue";
import { pino } from "pino";

/** How the program ends, by what an error's `code` says. Any other error is a fault of ours: 1. */
const EXIT_CODES: Readonly<Record<string, number>> = {
  USAGE: 2,
  ENV: 2,
  NO_AGENT: 3,
  NODE_NOT_FOUND: 3,
  QUEUE_ACCESS: 4,
  QUEUE_SCHEMA: 5,
  SUPERSEDED: 5,
  PRECONDITION: 5,
  JOURNAL_UNWRITABLE: 5,
  INVALID_ARGUMENT: 5,
  QUEUE_UNAVAILABLE: 8,
};

const HINTS: Readonly<Record<string, string>> = {
  QUEUE_ACCESS: "check that LOOM_NODE_KEY was made for this node, in the project at SUPABASE_URL",
};

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

/** How the program ends for an error: what a person can put right is told without a stack. */
export function toExit(error: unknown): { code: number; message: unknown } {
  const known = codeOf(error);
  const code = EXIT_CODES[known];
  if (code === undefined || !(error instanceof Error)) {
    // The database refused a call for a reason of its own.
    if (error instanceof QueueRequestError)
      return { code: 5, message: `loom-agent: ${error.message}` };
    return { code: 1, message: error };
  }
  const hint = HINTS[known];
  return { code, message: `loom-agent: ${error.message}${hint ? `; ${hint}` : ""}` };
}

/** How an error is logged: a database that is away is no fault of ours, and needs no stack. */
export const toLogged = (error: Error): object =>
  error instanceof QueueUnavailableError
    ? { type: error.name, code: error.code, reason: error.reason, message: error.message }
    : pino.stdSerializers.err(error);

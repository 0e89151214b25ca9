import {
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
} from "@loom/queue";
import { SupersededError } from "@loom/worker";
import { pino } from "pino";
import { EnvError, ListenError, MigrationError } from "./errors.ts";

// sysexits.h: wrong usage, wrong configuration.
export const EX_USAGE = 64;
const EX_CONFIG = 78;

/** How the program ends for an error: what a person can put right is told without a stack. */
export function toExit(error: unknown): { code: number; message: unknown } {
  if (error instanceof EnvError) return { code: EX_CONFIG, message: error.message };
  if (error instanceof QueueAccessError) {
    const advice = "check that SUPABASE_SECRET_KEY belongs to the project at SUPABASE_URL";
    return { code: 1, message: `loom-hub: ${error.message}; ${advice}` };
  }
  const isKnown = [
    QueueSchemaError,
    QueueRequestError,
    SupersededError,
    ListenError,
    MigrationError,
  ].some((known) => error instanceof known);
  return { code: 1, message: isKnown ? `loom-hub: ${(error as Error).message}` : error };
}

/** How an error is logged: a database that is away is no fault of ours, and needs no stack. */
export const toLogged = (error: Error): object =>
  error instanceof QueueUnavailableError
    ? { type: error.name, code: error.code, reason: error.reason, message: error.message }
    : pino.stdSerializers.err(error);

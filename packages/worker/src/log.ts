import type { StepLog } from "@loom/workflow";

/** The part of a pino logger that the worker uses. */
export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Log & StepLog;
}

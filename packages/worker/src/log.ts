import type { StepLog } from "@loom/workflow";

/** The part of a pino logger that the worker uses. */
export interface Log extends StepLog {
  child(facts: object): Log;
}

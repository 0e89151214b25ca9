import { inspect } from "node:util";
import type { LogMethod, StepLog } from "@loom/workflow";

/** A step's log: one line of text each, with the time, the level, the message and the facts. */
export function createStepLog(write: (line: string) => void): StepLog {
  const at = (level: string): LogMethod =>
    ((facts: object | string, message = "") => {
      const [text, rest] =
        typeof facts === "string" ? [facts, ""] : [message, ` ${printed(facts)}`];
      write(`${new Date().toISOString()} ${level} ${text}${rest === " {}" ? "" : rest}\n`);
    }) as LogMethod;
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** As JSON; as Node prints it what is none: logging must not fail a step. */
function printed(facts: object): string {
  try {
    return JSON.stringify(facts, (_key, value: unknown) =>
      value instanceof Error ? inspect(value) : value,
    );
  } catch {
    return inspect(facts, { breakLength: Infinity });
  }
}

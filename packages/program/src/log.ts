import { QueueUnavailableError } from "@loom/queue";
import { type Logger, pino } from "pino";
import type { Variables } from "./env.ts";
import { createRedactor, secretsIn } from "./redact.ts";

/**
 * Creates the log of a program: JSON lines on its standard output, without secrets.
 *
 * @param options.base - Fields of every line. With null, lines have no such fields and no name.
 * @param options.variables - The environment, whose secrets are hidden wherever they occur.
 */
export function createProgramLog({
  name,
  level,
  variables,
  base,
}: {
  name: string;
  level: string;
  variables: Variables;
  base?: null;
}): Logger {
  // Node's own stream is used because pino's tries to write the last lines for ever when its reader
  // is gone. A program without a reader continues.
  process.stdout.on("error", () => {});
  return pino(
    {
      name,
      level,
      ...(base === null && { base }),
      serializers: { err: toLogged },
      hooks: { streamWrite: createRedactor(secretsIn(variables)) },
    },
    process.stdout,
  );
}

/**
 * Returns the fields of an error for the log. An unavailable database is not a fault of the
 * program, so its error needs no stack.
 */
export const toLogged = (error: Error): object =>
  error instanceof QueueUnavailableError
    ? { type: error.name, code: error.code, reason: error.reason, message: error.message }
    : pino.stdSerializers.err(error);

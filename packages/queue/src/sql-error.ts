import {
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
} from "./errors.ts";

/** An error of Postgres or PostgREST, by whichever way it came. */
export interface SqlError {
  message: string;
  code?: string | undefined;
  details?: string | null | undefined;
  hint?: string | null | undefined;
}

// PGRST202: no such function in PostgREST's schema cache. The others come from inside
// one of ours that expects tables of another version.
const SCHEMA = new Set(["PGRST202", "42883", "42P01", "42703", "3F000"]);

// lock_timeout, deadlock (Postgres resolved it), statement_timeout and shutdowns; 08: connection
// exceptions, 53: no memory, disk or connections. All pass.
const PASSING = /^(55P03|40P01|57014|57P0[1-5]|08...|53...)$/;

/** What an SQLSTATE means for the caller; undefined when it says nothing of its own. */
export function fromSqlState(operation: string, error: SqlError): Error | undefined {
  const { code = "", message, details, hint } = error;
  if (SCHEMA.has(code)) return new QueueSchemaError(operation, message);
  if (PASSING.test(code)) {
    return new QueueUnavailableError(operation, "server", `${code}: ${message}`, { cause: error });
  }
  // 42501: no right to execute. 28: no login. PT403: our own refusal.
  if (code === "PT403" || code === "42501" || code.startsWith("28")) {
    return new QueueAccessError(operation, message);
  }
  if (code.startsWith("PT4")) {
    return new QueueRequestError(operation, {
      code: details || "INVALID_ARGUMENT",
      message,
      hint: hint ?? undefined,
    });
  }
  // 22: data that cannot be read. 23: data that the tables refuse.
  if (/^2[23]/.test(code)) {
    return new QueueRequestError(operation, { code: "INVALID_ARGUMENT", message });
  }
  return undefined;
}

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

// 42501: no right to execute. 28: no login. PT403: our own refusal.
const ACCESS = /^(PT403|42501|28...)$/;

// PGRST: no such function, two of its name, or no such schema in PostgREST's cache. 42: a
// statement, ours or inside one of our functions, that expects another version of the other
// side. 3D, 3F: no such database or schema.
const SCHEMA = /^(PGRST20[23]|PGRST106|42...|3[DF]...)$/;

// 08: connection exceptions. 25: the server is read-only, as a standby or with a full disk is.
// 26: a transaction pooler lost a prepared statement. 40: deadlock, serialization (Postgres
// resolved it). 53: no memory, disk or connections. 55: a lock that was not given. 57:
// statement_timeout and shutdowns. 58, XX: trouble of the server's own. P0002: a row was
// pruned between two statements. All pass.
const PASSING = /^(08...|25...|26...|40...|53...|55...|57...|58...|XX...|P0002)$/;

// PT4: our own refusals. 21, 22: data that cannot be read. 23: data that the tables refuse. 54:
// data that is too large or too deep. P0001: a trigger of somebody's refused.
const REQUEST = /^(PT4..|2[123]...|54...|P0001)$/;

/** What an SQLSTATE means for the caller; undefined when it says nothing of its own. */
export function fromSqlState(operation: string, error: SqlError): Error | undefined {
  const { code = "", message, details, hint } = error;
  if (ACCESS.test(code)) return new QueueAccessError(operation, message);
  if (SCHEMA.test(code)) return new QueueSchemaError(operation, message);
  if (PASSING.test(code)) {
    return new QueueUnavailableError(operation, "server", `${code}: ${message}`, { cause: error });
  }
  if (REQUEST.test(code)) {
    const isOurs = code.startsWith("PT4");
    return new QueueRequestError(operation, {
      code: (isOurs && details) || "INVALID_ARGUMENT",
      // Of text with a NUL, only the details say what is wrong with it.
      message: code === "22P05" && details ? details : message,
      hint: hint ?? undefined,
    });
  }
  return undefined;
}

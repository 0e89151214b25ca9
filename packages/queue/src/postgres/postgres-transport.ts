import type { Sql } from "postgres";
import { QueueUnavailableError } from "../errors.ts";
import { fromSqlState, type SqlError } from "../sql-error.ts";
import type { Transport } from "../transport.ts";

/**
 * The transport over a direct connection.
 *
 * The arguments' types are the functions' own: Postgres describes each statement once,
 * and the client writes arrays and JSON accordingly.
 */
export function postgresTransport(sql: Sql, timeoutMs: number): Transport {
  return {
    async call(name, args) {
      const names = Object.keys(args);
      const list = names.map((argument, index) => `${argument} => $${index + 1}`).join(", ");
      // Names are this package's constants; values are parameters.
      const query = sql.unsafe<{ answer: unknown }[]>(
        `select public.${name}(${list}) as answer`,
        names.map((argument) => args[argument] as never),
        { prepare: true },
      );
      try {
        const [row] = await withTimeout(query, timeoutMs);
        return row?.answer ?? null;
      } catch (error) {
        throw toError(name, error);
      }
    },
  };
}

const TIMED_OUT = Symbol("timed out");

async function withTimeout<Result>(query: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(TIMED_OUT), ms);
  });
  try {
    return await Promise.race([query, timeout]);
  } finally {
    clearTimeout(timer);
    // Nobody waits for it any more; that it fails later is no news.
    query.catch(() => {});
  }
}

function toError(name: string, error: unknown): Error {
  if (error === TIMED_OUT) return new QueueUnavailableError(name, "timeout", "no answer in time");
  const { code = "", message, detail, hint } = error as SqlError & { detail?: string };
  const known = fromSqlState(name, { code, message, details: detail, hint });
  // What is no SQLSTATE is an error of the socket: ECONNREFUSED, CONNECTION_CLOSED …
  return (
    known ??
    (/^[0-9A-Z]{5}$/.test(code) && code !== "EPIPE"
      ? new Error(`${name}: ${message}`, { cause: error })
      : new QueueUnavailableError(name, "network", message || code, { cause: error }))
  );
}

import type { Sql } from "postgres";
import { QueueSchemaError, QueueUnavailableError } from "../errors.ts";
import { fromSqlState } from "../sql-error.ts";
import type { Transport } from "../transport.ts";

/**
 * The transport over a direct connection.
 *
 * The arguments travel as one JSON text that Postgres takes apart, as it does for PostgREST: a
 * value of the wrong type is Postgres' to refuse. Written by the client, value by value, one that
 * does not fit makes postgres.js 3.4 give calls that share the connection each other's answers.
 */
export function postgresTransport(sql: Sql, timeoutMs: number): Transport {
  const statements = new Map<string, string>();

  async function call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    const given = JSON.stringify(args);
    const names = Object.keys(args).filter((argument) => args[argument] !== undefined);
    const key = [name, ...names].join(" ");
    const statement = statements.get(key) ?? (await writeStatement(sql, name, names));
    statements.set(key, statement);
    const parameters = names.length === 0 ? [] : [given];
    const rows = await sql.unsafe<{ answer: unknown }[]>(statement, parameters, { prepare: true });
    return theRow(rows)?.answer ?? null;
  }

  return {
    async call(name, args) {
      try {
        return await withTimeout(call(name, args), timeoutMs);
      } catch (thrown) {
        const error = toError(name, thrown);
        // The functions may be others by now: their signatures are read anew.
        if (error instanceof QueueSchemaError) statements.clear();
        throw error;
      }
    },
  };
}

/** The call with the types of the function's own signature, as PostgREST writes it. */
async function writeStatement(sql: Sql, name: string, names: string[]): Promise<string> {
  if (names.length === 0) return `select public.${name}() as answer`;
  const rows = await sql<{ statement: string }[]>`
    select format('select public.%I(%s) as answer from json_to_record($1::text::json) as given(%s)', proname,
                  string_agg(format('%1$I => given.%1$I', argument), ', '),
                  string_agg(format('%I %s', argument, format_type(type, null)), ', ')) as statement
      from pg_proc
     cross join unnest(proargnames, proargtypes::oid[]) as signature(argument, type)
     where pronamespace = 'public'::regnamespace and proname = ${name}
       and argument in (select json_array_elements_text(${JSON.stringify(names)}::text::json))
     group by oid, proname
    having count(*) = ${names.length}`;
  const found = theRow(rows);
  if (!found) throw new QueueSchemaError(name, `no such function takes ${names.join(", ")}`);
  return found.statement;
}

/**
 * The one row of an answer. It is the last: when a connection breaks off in the middle of an
 * answer, postgres.js 3.4 puts the next one's rows behind empty places for those that it had.
 */
const theRow = <Row>(rows: readonly Row[]): Row | undefined => rows.at(-1);

const TIMED_OUT = Symbol("timed out");

async function withTimeout<Result>(answer: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(TIMED_OUT), ms);
  });
  try {
    return await Promise.race([answer, timeout]);
  } finally {
    clearTimeout(timer);
    // Nobody waits for it any more; that it fails later is no news.
    answer.catch(() => {});
  }
}

type PostgresJsError = Error & { code?: string; detail?: string; hint?: string };

/** What a failure of postgres.js means for the caller. */
export function toError(name: string, thrown: unknown): Error {
  if (thrown === TIMED_OUT) return new QueueUnavailableError(name, "timeout", "no answer in time");
  if (thrown instanceof QueueSchemaError) return thrown;
  const { name: kind, message, code = "", detail, hint } = thrown as PostgresJsError;
  // By its name: the class is another one in every copy of postgres.js.
  if (kind === "PostgresError") {
    return (
      fromSqlState(name, { code, message, details: detail, hint }) ??
      new QueueUnavailableError(name, "server", `${code}: ${message}`, { cause: thrown })
    );
  }
  // Of the socket (ECONNREFUSED) or of the client (CONNECTION_CLOSED).
  return new QueueUnavailableError(name, "network", message || code, { cause: thrown });
}

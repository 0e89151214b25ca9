import { randomUUID } from "node:crypto";
import type { Sql } from "postgres";
import { fromSqlState, QueueSchemaError, QueueUnavailableError } from "../errors.ts";
import { type Queue, queueOver } from "../queue.ts";
import type { Transport } from "./call.ts";
import type { UnreadableRow } from "./rows.ts";

/**
 * Options that a client of postgres.js 3.4 needs to survive a broken connection: `postgres(url, {
 * ...clientOptions })`.
 *
 * - `max_pipeline: 0`: otherwise a query that is queued on a connection between its error and its
 *   end never gets an answer, and blocks the connection after it is open again.
 * - `fetch_types: false`: otherwise the client asks for array types when it connects, and ends the
 *   process when that fails. The queue needs no array types.
 */
export const clientOptions = { max_pipeline: 0, fetch_types: false } as const;

export interface PostgresQueueOptions {
  /**
   * A postgres.js client, with `clientOptions` if connections may break. Its user must own Loom's
   * functions, or may execute them.
   */
  sql: Sql;
  /**
   * A second client, for calls that come while all connections of `sql` are busy. A client uses its
   * connections in turn, so none is ever idle for long. With an `idle_timeout`, those of this one are
   * closed after a burst: each has a server process with plans of its own, of about 17 MiB.
   */
  overflow?: Sql | undefined;
  /** How long to wait for an answer, in milliseconds. Default 10 000. */
  timeoutMs?: number;
  /**
   * Whether to notify listeners of new offers. Default false, because a notification takes a lock
   * at commit that all writers of the database share. Turn it on only where a listener exists and
   * writes are few.
   */
  notify?: boolean;
  /** Called with each row that an answer leaves out, once in a while. */
  onUnreadable?: (row: UnreadableRow) => void;
}

/** A queue over a direct connection, which can also listen for offers. */
export interface PostgresQueue extends Queue {
  /**
   * Calls back with the names of nodes that have new offers, if writers notify.
   *
   * @returns A function that stops listening.
   * @throws ListenUnavailableError when a pooler swallows notifications.
   */
  listen(onOffers: (nodes: string[]) => void): Promise<() => Promise<void>>;
}

/** Creates a queue over a direct connection to Postgres. The caller ends the client. */
export function createPostgresQueue(options: PostgresQueueOptions): PostgresQueue {
  const { sql, overflow, timeoutMs = 10_000, notify = false, onUnreadable } = options;
  return {
    ...queueOver(postgresTransport(sql, timeoutMs, overflow), { notify, onUnreadable }),
    listen: (onOffers) => listenForOffers(sql, onOffers),
  };
}

const CHANNEL = "loom_offers";
const SELF_TEST_MS = 3_000;

/** The server accepted `LISTEN`, but no notification arrives. */
export class ListenUnavailableError extends Error {
  override readonly name = "ListenUnavailableError";
  readonly code = "LISTEN_UNAVAILABLE";
  constructor() {
    super(
      "a test notification did not arrive: a transaction pooler (port 6543 of Supabase, pgbouncer) swallows notifications. Use the session port or the direct connection, or poll",
    );
  }
}

/**
 * Calls back with the nodes that have new offers, as they are notified.
 *
 * A pooler may accept `LISTEN` and never deliver, so a test notification has to arrive first. A
 * notification can still be lost, so go on polling.
 *
 * @returns A function that stops listening.
 * @throws ListenUnavailableError
 * @throws QueueUnavailableError when the server does not answer.
 */
async function listenForOffers(
  sql: Sql,
  onOffers: (nodes: string[]) => void,
): Promise<() => Promise<void>> {
  const token = `self-test ${randomUUID()}`;
  const heard = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  try {
    // Checks that a server answers: postgres.js keeps retrying for a listener even after it has
    // reported a failure.
    await sql`select 1`;
    const { unlisten } = await sql.listen(CHANNEL, (payload) => {
      if (payload === token) heard.resolve();
      else if (!payload.startsWith("self-test ")) onOffers(payload.split(","));
    });
    timer = setTimeout(() => heard.reject(new ListenUnavailableError()), SELF_TEST_MS);
    await Promise.all([heard.promise, sql.notify(CHANNEL, token)]).catch(async (error) => {
      await unlisten();
      throw error;
    });
    return unlisten;
  } catch (error) {
    throw error instanceof ListenUnavailableError ? error : toError("listen", error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Creates a transport over a direct connection.
 *
 * The arguments are sent as one JSON text that Postgres parses, as it does for PostgREST, so that
 * Postgres itself refuses a value of the wrong type. If the client sent single values, one of the
 * wrong type would make postgres.js 3.4 mix up the answers of calls on the same connection.
 */
export function postgresTransport(first: Sql, timeoutMs: number, overflow?: Sql): Transport {
  const statements = new Map<string, string>();
  /** Calls that use the first client. */
  let underWay = 0;

  async function call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (overflow && underWay >= first.options.max) return await callOver(overflow, name, args);
    underWay += 1;
    try {
      return await callOver(first, name, args);
    } finally {
      underWay -= 1;
    }
  }

  async function callOver(
    sql: Sql,
    name: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
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
        // The functions may have changed, so their signatures are read again.
        if (error instanceof QueueSchemaError) statements.clear();
        throw error;
      }
    },
  };
}

/** Builds the call from the types of the function's own signature, as PostgREST does. */
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
 * Returns the one row of an answer. It is the last one: after a connection broke in the middle of
 * an answer, postgres.js 3.4 puts the next answer's rows behind empty places for the old ones.
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
    // No caller waits any more, so a later failure is ignored.
    answer.catch(() => {});
  }
}

type PostgresJsError = Error & { code?: string; detail?: string; hint?: string };

/** Converts a failure of postgres.js to an error for the caller. */
function toError(name: string, thrown: unknown): Error {
  if (thrown === TIMED_OUT) return new QueueUnavailableError(name, "timeout", "no answer in time");
  if (thrown instanceof QueueSchemaError) return thrown;
  const { name: kind, message, code = "", detail, hint } = thrown as PostgresJsError;
  // By its name, because each copy of postgres.js has its own class.
  if (kind === "PostgresError") {
    return (
      fromSqlState(name, { code, message, details: detail, hint }) ??
      new QueueUnavailableError(name, "server", `${code}: ${message}`, { cause: thrown })
    );
  }
  // The error comes from the socket (ECONNREFUSED) or from the client (CONNECTION_CLOSED).
  return new QueueUnavailableError(name, "network", message || code, { cause: thrown });
}

import type { Database } from "@loom/local-db";
import { connectDirectly, connectToPostgrest } from "../../connect.ts";
import {
  batches,
  type Engine,
  type EngineKind,
  type InputSize,
  inLoops,
  inputOf,
  LOOPS,
  seconds,
} from "../engine.ts";

/**
 * The table of a queue of pgmq 1.5, and its statements for sending, reading and deleting, written anew as
 * functions: the extension is not part of the embedded Postgres. Like pgmq's own, each composes its statement from
 * the queue's name at every call. They are in `public`, where PostgREST finds them.
 */
const SCHEMA = `
  create schema pgmq;
  create table pgmq.q_bench (
    msg_id      bigint primary key generated always as identity,
    read_ct     integer not null default 0,
    enqueued_at timestamptz not null default now(),
    vt          timestamptz not null,
    message     jsonb,
    headers     jsonb);
  create index on pgmq.q_bench (vt);

  create function public.pgmq_send_batch(p_queue text, p_messages jsonb[]) returns setof bigint
  language plpgsql as $$
  begin
    return query execute format(
      'insert into pgmq.%I (vt, message) select clock_timestamp(), unnest($1) returning msg_id', 'q_' || p_queue)
      using p_messages;
  end $$;

  create function public.pgmq_read(p_queue text, p_seconds integer, p_limit integer)
  returns table (msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb)
  language plpgsql as $$
  begin
    return query execute format(
      'with due as (
         select msg_id from pgmq.%1$I where vt <= clock_timestamp() order by msg_id limit $1 for update skip locked)
       update pgmq.%1$I m
          set vt = clock_timestamp() + make_interval(secs => $2), read_ct = read_ct + 1
         from due where m.msg_id = due.msg_id
       returning m.msg_id, m.read_ct, m.enqueued_at, m.vt, m.message, m.headers', 'q_' || p_queue)
      using p_limit, p_seconds;
  end $$;

  create function public.pgmq_delete(p_queue text, p_ids bigint[]) returns setof bigint
  language plpgsql as $$
  begin
    return query execute format('delete from pgmq.%I where msg_id = any($1) returning msg_id', 'q_' || p_queue)
      using p_ids;
  end $$;

  grant usage on schema pgmq to service_role;
  grant all on all tables in schema pgmq to service_role;
  notify pgrst, 'reload schema';`;

const QUEUE = "bench";
const INVISIBLE_SECONDS = 600;

/** The three calls of a queue, over any transport. */
interface Calls {
  send(messages: readonly object[]): Promise<unknown>;
  /** @returns The ids of the messages. */
  read(limit: number): Promise<number[]>;
  delete(ids: readonly number[]): Promise<number>;
  close(): Promise<void>;
}

export const pgmqDirect: EngineKind = {
  name: "pgmq's statements, direct",
  over: "postgres",
  async open(database, input) {
    await database.sql.unsafe(SCHEMA);
    const { client: sql, close } = connectDirectly(database, LOOPS);
    const json = (value: unknown) => JSON.stringify(value);
    return engine(input, {
      close,
      // As text, so that the client looks up no array type.
      send: (messages) =>
        sql`select pgmq_send_batch(${QUEUE}, array(select json_array_elements(${json(messages)}::text::json)::jsonb))`,
      read: async (limit) => {
        const rows = await sql<{ msg_id: string }[]>`
          select * from pgmq_read(${QUEUE}, ${INVISIBLE_SECONDS}, ${limit})`;
        return rows.map(({ msg_id }) => Number(msg_id));
      },
      delete: async (ids) =>
        (await sql`select pgmq_delete(${QUEUE}, ${`{${ids}}`}::text::bigint[])`).length,
    });
  },
};

export const pgmqRest: EngineKind = {
  name: "pgmq's statements, PostgREST",
  over: "postgrest",
  async open(database, input) {
    await database.sql.unsafe(SCHEMA);
    const { client, close } = connectToPostgrest(database);
    const call = async <Answer>(name: string, args: object): Promise<Answer> => {
      const { data, error } = await client.rpc(name, { p_queue: QUEUE, ...args });
      if (error) throw new Error(error.message);
      return data as Answer;
    };
    await untilKnown(database, () => call("pgmq_read", { p_seconds: 0, p_limit: 0 }));
    return engine(input, {
      close,
      send: (messages) => call("pgmq_send_batch", { p_messages: messages }),
      read: async (limit) => {
        const args = { p_seconds: INVISIBLE_SECONDS, p_limit: limit };
        const rows = await call<{ msg_id: number }[]>("pgmq_read", args);
        return rows.map(({ msg_id }) => msg_id);
      },
      delete: async (ids) => (await call<number[]>("pgmq_delete", { p_ids: ids })).length,
    });
  },
};

const engine = (input: InputSize, calls: Calls): Engine => ({
  close: calls.close,
  enqueue: (jobs, batch) =>
    seconds(async () => {
      for (const part of batches(jobs, batch)) {
        await calls.send(part.map((index) => inputOf(index, input)));
      }
    }),
  drain: (jobs, batch) =>
    seconds(() =>
      inLoops(jobs, async () => {
        const ids = await calls.read(batch);
        return ids.length === 0 ? 0 : await calls.delete(ids);
      }),
    ),
});

/** PostgREST reads the new functions some time after it was notified. */
async function untilKnown({ sql }: Database, call: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await call();
      return;
    } catch (error) {
      if (attempt === 50) throw error;
      await sql`select pg_sleep(0.1)`;
    }
  }
}

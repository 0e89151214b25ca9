import { copyDatabase } from "@loom/local-db";
import type { Queue } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { requireWorkerCluster } from "@loom/queue/testing";
import { type RecordedCall, recordCalls } from "@loom/queue/verify";
import postgres, { type Sql } from "postgres";
import { onTestFinished } from "vitest";
import { type Mutation, mutate } from "./mutation.ts";

/** A transaction that stays open until it is asked to end, with a queue inside. */
interface OpenTransaction extends AsyncDisposable {
  queue: Queue;
  sql: Sql;
  /** Once; whoever fails before it commits when it is disposed of. */
  commit(): Promise<void>;
}

/** A database of its own, with its functions as they are or mutated, where every call is recorded. */
export interface Lab {
  sql: Sql;
  queue: Queue;
  calls: RecordedCall[];
  /** What failed. With a mutation that is no surprise, and proves nothing. */
  errors: unknown[];
  /** Every node that ever said hello. */
  nodes: Set<string>;
  begin(): Promise<OpenTransaction>;
  /** Goes on when something fails, and notes it. */
  attempt(work: () => Promise<unknown>): Promise<void>;
}

/** Opens one for the test that calls it. */
export async function openLab(mutation?: Mutation): Promise<Lab> {
  const database = await copyDatabase(requireWorkerCluster());
  onTestFinished(() => database.stop());
  if (mutation) await mutate(database, mutation);
  const { databaseUrl, socketDir: host } = database;
  const sql = postgres(databaseUrl, { host, max: 20, onnotice: () => undefined });
  onTestFinished(() => sql.end({ timeout: 1 }));
  const calls: RecordedCall[] = [];
  const errors: unknown[] = [];
  const queueOf = (connection: Sql) =>
    recordCalls(createPostgresQueue({ sql: connection }), (call) => calls.push(call));

  return {
    sql,
    queue: queueOf(sql),
    calls,
    errors,
    nodes: new Set(),
    async begin() {
      const reserved = await sql.reserve();
      await reserved`begin`;
      let isOpen = true;
      const commit = async () => {
        if (!isOpen) return;
        isOpen = false;
        await reserved`commit`;
        reserved.release();
      };
      return { queue: queueOf(reserved), sql: reserved, commit, [Symbol.asyncDispose]: commit };
    },
    async attempt(work) {
      try {
        await work();
      } catch (error) {
        errors.push(error);
      }
    },
  };
}

/** Waits until a call is over, or waits for a lock in the database. */
export async function untilOverOrBlocked({ sql }: Lab, call: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  call.then(over, over);
  for (;;) {
    const [row] = await sql<{ blocked: boolean }[]>`
      select exists (select from pg_stat_activity
                      where datname = current_database() and wait_event_type = 'Lock') as blocked`;
    if (isOver || row?.blocked) return;
  }
}

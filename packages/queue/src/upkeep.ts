import { z } from "zod";
import type { Call } from "./call.ts";
import { type DatabaseFacts, databaseFacts } from "./database-facts.ts";
import { row } from "./row.ts";

export interface Reaped {
  /** False when another reaper was at work: nothing was done. */
  reaped: boolean;
  /** Nodes that were declared dead now. */
  dead: string[];
  /** Jobs given back. */
  requeued: number;
  expiredOffers: number;
}

export interface Pruned {
  runs: number;
  jobs: number;
  /** Of schedules. */
  slots: number;
  events: number;
  /** There is more to remove: call again. */
  more: boolean;
}

const reaped = z.object({
  reaped: z.boolean(),
  dead: z.array(z.string()),
  requeued: z.int(),
  expiredOffers: z.int(),
});

const pruned = z.object({
  runs: z.int(),
  jobs: z.int(),
  slots: z.int(),
  events: z.int(),
  more: z.boolean(),
});

/** What keeps the queue in order, and looks whether it is. */
export interface Upkeep {
  /** Gives back what dead nodes held and offers nobody took. @see sql/reap.sql */
  reap(options?: { limit?: number }): Promise<Reaped>;

  /** Fails jobs that were not started in time, and tells how many. @see sql/expire_jobs.sql */
  expire(options?: { limit?: number }): Promise<number>;

  /**
   * Removes what has been finished for longer than `keepDays` (default 30), in bounded batches of
   * `limit` (1 to 10 000, default 500) runs, jobs, slots and events each.
   *
   * @see sql/prune.sql
   */
  prune(options?: { keepDays?: number; limit?: number }): Promise<Pruned>;

  /** The database's clock, and the migrations that it has had. @see sql/describe_database.sql */
  describeDatabase(): Promise<DatabaseFacts>;

  /**
   * What cannot be, as rows are now; empty when all is well. Reads everything: for tests and for
   * a doctor.
   *
   * @see sql/verify.sql
   */
  verify(): Promise<string[]>;
}

export const upkeep = (call: Call): Upkeep => ({
  reap: ({ limit = 500 } = {}) => call("loom_reap", { p_limit: limit }, row(reaped)),

  async expire({ limit = 500 } = {}) {
    const { expired } = await call(
      "loom_expire_jobs",
      { p_limit: limit },
      z.object({ expired: z.int() }),
    );
    return expired;
  },

  prune: ({ keepDays = 30, limit = 500 } = {}) =>
    call("loom_prune", { p_keep_days: keepDays, p_limit: limit }, row(pruned)),

  describeDatabase: () => call("loom_describe_database", {}, row(databaseFacts)),

  verify: () => call("loom_verify", {}, z.array(z.string())),
});

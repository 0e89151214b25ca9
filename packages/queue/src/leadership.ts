import type { RetentionPolicy } from "@loom/workflow";
import { z } from "zod";
import { wakeServer } from "./nodes.ts";
import type { Call } from "./transport/call.ts";
import { instant, row } from "./transport/rows.ts";

/** The lead of the hubs: one hub at a time does the work that only one may do. */
export interface Leadership {
  /**
   * Takes or keeps the lead for `leaseMs` (1000 to 3 600 000) by the database's clock.
   *
   * @param holder - Unique among hubs, 1 to 200 characters; `node/…` for a hub that works as that
   * node.
   * @see sql/leadership.sql
   */
  lead(holder: string, leaseMs: number): Promise<Lead>;
  /**
   * Gives up the lead, so that another hub need not wait until the lease expires. @see
   * sql/leadership.sql
   */
  resign(holder: string, epoch: number): Promise<void>;
}

export const leadership = (call: Call): Leadership => ({
  lead: (holder, leaseMs) =>
    call("loom_lead", { p_holder: holder, p_lease_ms: leaseMs }, row(lead)),

  async resign(holder, epoch) {
    const resigned = z.object({ resigned: z.boolean() });
    await call("loom_resign", { p_holder: holder, p_epoch: epoch }, resigned);
  },
});

/** Calls that keep the queue in order and check it. */
export interface Maintenance {
  /** Gives back jobs of dead nodes and offers that no node took. @see sql/reap.sql */
  reap(options?: { limit?: number }): Promise<Reaped>;

  /** Fails jobs that were not started in time, and returns their number. @see sql/reap.sql */
  expire(options?: { limit?: number }): Promise<number>;

  /**
   * Removes what has been finished for longer than `keepDays` (default 30): at most `limit` (1 to
   * 10 000, default 500) each of runs, jobs, slots and events a call.
   *
   * @param options.retention - What the workflows that are known say of their finished runs; null: as `keepDays` says. The
   *   database keeps it, so a call without it, or without one of them, goes on with what was said last.
   * @see sql/database.sql
   */
  prune(options?: {
    keepDays?: number;
    limit?: number;
    retention?: readonly { workflow: string; retention: RetentionPolicy | null }[];
  }): Promise<Pruned>;

  /** Reads the database's clock and the migrations that were applied. @see sql/database.sql */
  describeDatabase(): Promise<DatabaseFacts>;

  /**
   * Lists violated invariants of the current rows; empty when all is well. It reads everything: use
   * it in tests and in a doctor.
   *
   * @see sql/verify.sql
   */
  verify(): Promise<string[]>;
}

export const maintenance = (call: Call): Maintenance => ({
  reap: ({ limit = 500 } = {}) => call("loom_reap", { p_limit: limit }, row(reaped)),

  async expire({ limit = 500 } = {}) {
    const { expired } = await call(
      "loom_expire_jobs",
      { p_limit: limit },
      z.object({ expired: z.int() }),
    );
    return expired;
  },

  prune: ({ keepDays = 30, limit = 500, retention } = {}) => {
    const policies = retention?.map(({ workflow, retention: policy }) => ({
      workflow,
      succeeded_ms: policy?.succeededMs ?? null,
      failed_ms: policy?.failedMs ?? null,
    }));
    const args = {
      p_keep_days: keepDays,
      p_limit: limit,
      ...(policies && { p_retention: policies }),
    };
    return call("loom_prune", args, row(pruned));
  },

  describeDatabase: () => call("loom_describe_database", {}, row(databaseFacts)),

  verify: () => call("loom_verify", {}, z.array(z.string())),
});

export const lead = z.object({
  leading: z.boolean(),
  /** The hub that leads. */
  holder: z.string(),
  /** Rises when another hub takes over. Calls that only the leader may make need it. */
  epoch: z.int(),
  /** The wake server of the leader's node; null if the caller leads or the node has none. */
  wakeServer: row(wakeServer).nullable(),
  /** The time until another hub may take over, unless the holder renews its lease. */
  expiresInMs: z.int(),
});

/** The lead, as the caller's last answer described it. */
export type Lead = z.output<typeof lead>;

export interface Reaped {
  /** False when another reaper was running, so this call did nothing. */
  reaped: boolean;
  /** Nodes that this call declared dead. */
  dead: string[];
  /** The number of jobs given back. */
  requeued: number;
  expiredOffers: number;
  /** Jobs that could not be written and stay as they were. The other jobs are not affected. */
  failed: { job: number; problem: string }[];
}

export const reaped = z.object({
  reaped: z.boolean(),
  dead: z.array(z.string()),
  requeued: z.int(),
  expiredOffers: z.int(),
  failed: z.array(z.object({ job: z.int(), problem: z.string() })),
});

export interface Pruned {
  runs: number;
  jobs: number;
  /** Slots of schedules. */
  slots: number;
  events: number;
  /** Whether there is more to remove: call again. */
  more: boolean;
}

const pruned = z.object({
  runs: z.int(),
  jobs: z.int(),
  slots: z.int(),
  events: z.int(),
  more: z.boolean(),
});

const databaseFacts = z.object({
  /** Created with the tables. It stays the same when the database's address changes. */
  id: z.uuid(),
  /** The database's clock at the answer. */
  now: instant,
  serverVersion: z.string(),
  /**
   * The age of the oldest event that cannot be read yet, because an earlier transaction is open;
   * null without one.
   */
  heldBackMs: z.number().nullable(),
  /** The session whose transaction has been writing for longest; null without one. */
  oldestWriter: z
    .object({ pid: z.int(), user: z.string().nullable(), application: z.string().nullable() })
    .nullable(),
  /** The names of the applied migrations, sorted. `migrationNames()` has those of this package. */
  migrations: z.array(z.string()),
});

export type DatabaseFacts = z.output<typeof databaseFacts>;

import { type Lead, type NodeWakeAddress, type Queue, QueueUnavailableError } from "@loom/queue";
import type { Log } from "@loom/worker";

/** Whether this hub leads. The leader does what only one hub at a time may do. */
export interface Leader {
  /** Resolves with the epoch of this hub's lead once it leads; with undefined when the election is over. */
  whenLeading(): Promise<number | undefined>;
  /**
   * The wake address of the leader's node, as of the last response; undefined while this hub leads or when none has
   * come. It is at most 2 s old while the database is available.
   */
  wakeServer(): NodeWakeAddress | undefined;
  /** Whether another hub leads, as of the last response. */
  isFollower(): boolean;
  /**
   * Records the answer to a round.
   *
   * @param term.askedAt - When the round was called, by `performance.now()`.
   * @param term.leaseMs - The lease that it asked for.
   */
  note(lead: Lead, term: { askedAt: number; leaseMs: number }): void;
  /** Ends the election: nobody waits for the lead any more. */
  end(): void;
  /** Gives the lead up, so that another hub need not wait for the lease to expire. */
  resign(): Promise<void>;
}

/**
 * Creates this hub's part in the election, which the database holds. The rounds ask for the lead.
 *
 * The lease counts from before the call that took it, on a monotonic clock: a hub that was frozen for longer knows
 * that it no longer leads when it resumes. It can be wrong about that, because a sleeping machine may stop its
 * clock. So a call that must not happen twice carries the epoch, and the database refuses an old one.
 */
export function createLeader({
  queue,
  holder,
  log,
}: {
  queue: Pick<Queue, "resign">;
  /** Unique among hubs. */
  holder: string;
  log: Log;
}): Leader {
  let term: { epoch: number; until: number } | undefined;
  let isFollower = false;
  let other: NodeWakeAddress | undefined;
  let isOver = false;
  let changed = Promise.withResolvers<void>();
  const tell = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };

  return {
    async whenLeading() {
      while (!isOver) {
        if (term && performance.now() < term.until) return term.epoch;
        await changed.promise;
      }
      return undefined;
    },

    wakeServer: () => other,

    isFollower: () => isFollower,

    note(lead, { askedAt, leaseMs }) {
      isFollower = !lead.leading;
      other = lead.wakeServer ?? undefined;
      const epoch = term?.epoch;
      term = lead.leading ? { epoch: lead.epoch, until: askedAt + leaseMs } : undefined;
      if (term && epoch !== term.epoch) {
        log.info({ epoch: term.epoch }, "leading");
      } else if (!term && epoch !== undefined) {
        log.warn({ epoch, leader: lead.holder }, "another hub leads");
      }
      tell();
    },

    end() {
      isOver = true;
      tell();
    },

    async resign() {
      if (!term) return;
      const { epoch } = term;
      term = undefined;
      try {
        await queue.resign(holder, epoch);
        log.info({ epoch }, "resigned");
      } catch (error) {
        if (!(error instanceof QueueUnavailableError)) throw error;
        log.warn({ epoch, err: error }, "could not resign; the lease runs out by itself");
      }
    },
  };
}

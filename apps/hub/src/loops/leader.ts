import { type NodeDoorbell, type Queue, QueueUnavailableError } from "@loom/queue";
import { createBell, type Log, repeat } from "@loom/worker";

/** Whether this hub leads: does what one hub at a time should do. */
export interface Leader {
  /** The epoch of this hub's lead, as soon as it has one; undefined when it is not kept any more. */
  whenLeading(): Promise<number | undefined>;
  /** Of the node whose hub leads, as the last answer had it, 2 s ago at most while the database is there; undefined while this one leads. */
  doorbell(): NodeDoorbell | undefined;
  /** Takes the lead when it is free, and keeps it, until the signal aborts. Once. */
  keep(options: { signal: AbortSignal }): Promise<void>;
  /** Gives the lead up, so that another hub need not wait for the lease to run out. */
  resign(): Promise<void>;
}

/** How long a leader may be silent. With `ASK_MS` after it, another has taken over within 10 s. */
const LEASE_MS = 6_000;
const ASK_MS = 2_000;

/**
 * Creates this hub's part in the election, which the database holds.
 *
 * The lease counts from before the call that took it, by a clock that nobody sets: a hub that was
 * frozen for longer knows, when it goes on, that it may lead no more. It can be wrong about that
 * (a machine that sleeps may stop its clock, too), so what must not happen twice takes the epoch
 * along, and the database refuses an old one.
 */
export function createLeader({
  queue,
  holder,
  log,
  leaseMs = LEASE_MS,
}: {
  queue: Pick<Queue, "lead" | "resign">;
  /** Unique among hubs. */
  holder: string;
  log: Log;
  /** For tests. */
  leaseMs?: number;
}): Leader {
  let term: { epoch: number; until: number } | undefined;
  let other: NodeDoorbell | undefined;
  let isOver = false;
  let pauseMs = ASK_MS;
  let news = Promise.withResolvers<void>();
  const tell = () => {
    news.resolve();
    news = Promise.withResolvers();
  };

  async function ask(): Promise<void> {
    const askedAt = performance.now();
    const lead = await queue.lead(holder, leaseMs);
    pauseMs = lead.leading ? ASK_MS : Math.min(ASK_MS, lead.expiresInMs + 1);
    other = lead.doorbell ?? undefined;
    const epoch = term?.epoch;
    term = lead.leading ? { epoch: lead.epoch, until: askedAt + leaseMs } : undefined;
    if (term && epoch !== term.epoch) {
      log.info({ epoch: term.epoch }, "leading");
    } else if (!term && epoch !== undefined) {
      log.warn({ epoch, leader: lead.holder }, "another hub leads");
    }
    tell();
  }

  return {
    async whenLeading() {
      while (!isOver) {
        if (term && performance.now() < term.until) return term.epoch;
        await news.promise;
      }
      return undefined;
    },

    doorbell: () => other,

    async keep({ signal }) {
      const bell = createBell();
      const pause = async () => void (await bell.wait(pauseMs, signal));
      try {
        await repeat({ round: ask, pause }, { signal, log, maxDelayMs: ASK_MS });
      } finally {
        isOver = true;
        tell();
      }
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

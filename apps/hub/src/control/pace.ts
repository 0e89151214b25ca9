import type { Supply } from "./dispatch.ts";

/** What a round of the leader found, as far as the time of the next one depends on it. */
export interface Found {
  /** How long until something is due; null if nothing is. */
  dueInMs: number | null;
  /** Whether jobs are offered or running. */
  isBusy: boolean;
  /** Whether this round offered jobs. */
  hasOffered: boolean;
  /** Whether it changed or learned anything. */
  hasNews: boolean;
  /** Whether there are more jobs and free slots than one round handles. */
  hasMore: boolean;
  supply: Supply | null;
  /** Whether other hubs would take the lead over. */
  hasFollowers: boolean;
}

/** How long to wait for the next round, in milliseconds from the end of the last one. */
export interface Pause {
  /** At most so long. */
  ms: number;
  /** A wake-up that comes earlier waits until so long after the last round's start. */
  spacingMs: number;
}

/** The times of rounds. */
export interface Pace {
  /** The lease to ask for in the next round, in milliseconds. */
  leaseMs(): number;
  /** Something happened: rounds are frequent for a while. */
  wake(): void;
  /** Another hub made itself known, whose node the database may not know yet. */
  noteFollower(): void;
  /** The pause after a round of the leader that found this. */
  afterLed(found: Found): Pause;
  /**
   * The pause after a round of a hub that does not lead.
   *
   * @param expiresInMs - The rest of the other hub's lease.
   */
  afterFollowing(expiresInMs: number): Pause;
}

/**
 * With other hubs, the lead is renewed every 2 s and lost after 6 s: a hub that dies is replaced within 8 s. A hub
 * alone has nobody to give the lead to, and calls more rarely.
 */
export const SHARED = { leaseMs: 6_000, pauseMs: 2_000 };
const ALONE = { leaseMs: 15_000, pauseMs: 10_000 };

/**
 * While nothing happens, the pause grows with the time since something did. What nobody announces (a job that was
 * added with SQL, a settle by an agent that reaches no hub) waits for 1 s, or a twelfth longer than nothing had happened.
 */
const SHORTEST_REST_MS = 1_000;
const REST_SHARE = 12;
/** For this long after an offer, and while jobs are under way, rounds are as frequent as `BUSY_MS`. */
const BUSY_FOR_MS = 5_000;
export const BUSY_MS = 200;
/** How long another hub counts as present after it made itself known. By then, the database knows its node. */
const FOLLOWER_MS = 60_000;
/** Wake-ups that come together cause one round. */
export const SPACING_MS = 10;
/**
 * While nodes take their next jobs without a round, rounds only add to what they may take. The time between them doubles
 * while a quarter of that lasts for it, and halves when half of it was taken.
 */
const LONGEST_SPACING_MS = 160;
/** A timer may fire a little early, and the database's clock is a little behind. */
const AFTER_DUE_MS = 2;
/** The first pause when something is due that the last round left. It doubles while that stays so. */
const OVERDUE_MS = 50;

/** @param now - A clock in milliseconds that never runs backwards. */
export function createPace({ now = () => performance.now() }: { now?: () => number } = {}): Pace {
  let term = SHARED;
  let newsAt = now();
  let busyUntil = Number.NEGATIVE_INFINITY;
  let followerUntil = Number.NEGATIVE_INFINITY;
  let overdueMs = OVERDUE_MS;
  let spacingMs = SPACING_MS;

  return {
    leaseMs: () => term.leaseMs,

    wake() {
      newsAt = now();
    },

    noteFollower() {
      followerUntil = now() + FOLLOWER_MS;
    },

    afterLed({ supply, ...found }) {
      spacingMs = supply === null ? SPACING_MS : nextSpacingMs(spacingMs, supply);
      return { ms: longestPauseMs(found), spacingMs };
    },

    afterFollowing(expiresInMs) {
      term = SHARED;
      newsAt = now();
      return { ms: Math.min(SHARED.pauseMs, expiresInMs + 1), spacingMs: SPACING_MS };
    },
  };

  function longestPauseMs({
    dueInMs,
    isBusy,
    hasOffered,
    hasNews,
    hasMore,
    hasFollowers,
  }: Omit<Found, "supply">): number {
    // The pause has to fit the lease that this round asked for, not the next one's.
    const { pauseMs } = term;
    const at = now();
    term = hasFollowers || at < followerUntil ? SHARED : ALONE;
    if (hasNews) newsAt = at;
    if (hasOffered) busyUntil = at + BUSY_FOR_MS;
    if (hasMore) return 0;
    const longestMs = Math.min(pauseMs, term.pauseMs);
    const restMs = Math.min(
      longestMs,
      Math.max(SHORTEST_REST_MS, Math.floor((at - newsAt) / REST_SHARE)),
    );
    const idleMs = isBusy && at < busyUntil ? BUSY_MS : restMs;
    if (dueInMs === null || dueInMs > 0) overdueMs = OVERDUE_MS;
    if (dueInMs === null) return idleMs;
    if (dueInMs > 0) return Math.min(idleMs, dueInMs + AFTER_DUE_MS);
    const pause = Math.min(idleMs, overdueMs);
    overdueMs *= 2;
    return pause;
  }
}

function nextSpacingMs(spacingMs: number, { open, opened }: Supply): number {
  if (4 * opened <= open) return Math.min(2 * spacingMs, LONGEST_SPACING_MS);
  return 2 * opened > open ? Math.max(spacingMs / 2, SPACING_MS) : spacingMs;
}

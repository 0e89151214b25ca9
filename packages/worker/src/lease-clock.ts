/** An instant by both of a machine's clocks. */
interface Instant {
  wall: number;
  monotonic: number;
}

/**
 * Tells how long ago something was, on a machine that sleeps: the monotonic clock stands still
 * meanwhile, and the wall clock can be set. What passed is what either of them says, so a clock
 * that was set forward costs a question to the database, and none is ever trusted too long.
 */
export interface LeaseClock {
  now(): Instant;
  msSince(instant: Instant): number;
  /** Notes that the database said what holds, when asked at this instant. */
  confirm(askedAt: Instant): void;
  /** The lease may have ended since the database last said anything. */
  isDoubtful(): boolean;
}

export function createLeaseClock({
  leaseMs,
  wall = Date.now,
  monotonic = () => performance.now(),
}: {
  leaseMs: number;
  wall?: () => number;
  monotonic?: () => number;
}): LeaseClock {
  let confirmedAt: Instant | undefined;
  const now = () => ({ wall: wall(), monotonic: monotonic() });
  const msSince = (then: Instant) => Math.max(wall() - then.wall, monotonic() - then.monotonic);
  return {
    now,
    msSince,
    confirm(askedAt) {
      confirmedAt = askedAt;
    },
    isDoubtful: () => confirmedAt !== undefined && msSince(confirmedAt) >= leaseMs,
  };
}

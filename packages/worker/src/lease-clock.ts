import { createBell } from "./bell.ts";
import type { Log } from "./log.ts";

/** How often to look at the clocks: a timer alone stands still while the machine sleeps. */
const LOOK_MS = 1_000;

/** A wall clock that is so much ahead of the timers means that the machine slept. */
const SLEPT_MS = 5_000;

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
  /** Waits so long by either clock, or until a jump of the wall clock is seen, or the signal aborts. */
  sleep(ms: number, options: { signal: AbortSignal; log: Log }): Promise<void>;
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
    async sleep(ms, { signal, log }) {
      const never = createBell();
      const from = now();
      while (!signal.aborted) {
        const at = now();
        const sleptMs = at.wall - from.wall - (at.monotonic - from.monotonic);
        if (sleptMs > SLEPT_MS) {
          log.warn({ sleptMs }, "the machine slept, or its clock was set");
          return;
        }
        const leftMs = ms - msSince(from);
        if (leftMs <= 0) return;
        await never.wait(Math.min(leftMs, LOOK_MS), signal);
      }
    },
    confirm(askedAt) {
      confirmedAt = askedAt;
    },
    isDoubtful: () => confirmedAt !== undefined && msSince(confirmedAt) >= leaseMs,
  };
}

import { singleFlight } from "./single-flight.ts";
import type { Source } from "./source.ts";
import type { Status } from "./status.ts";

/** A status with its age, and the failure of the latest read if that left us with an older one. */
export interface Snapshot {
  status: Status;
  /** Since the read began. */
  ageMs: number;
  failure: { error: unknown } | undefined;
}

/**
 * Keeps the latest status of a source.
 *
 * It is read again when it is older than `ttlMs`, by one read for all who wait. When that fails,
 * the last good one serves until it is `maxStaleMs` old, and the next try is `ttlMs` later: a daemon
 * that hangs then costs one timeout per `ttlMs`, not one per call.
 */
export function createStatusCache(options: {
  source: Source;
  ttlMs: number;
  maxStaleMs: number;
  now: () => number;
}): (signal?: AbortSignal) => Promise<Snapshot> {
  const { source, ttlMs, maxStaleMs, now } = options;
  let good: { status: Status; readAt: number } | undefined;
  let failure: { error: unknown; failedAt: number } | undefined;

  const refresh = singleFlight(async (signal) => {
    const readAt = now();
    try {
      const status = await source.read({ signal });
      signal.throwIfAborted();
      good = { status, readAt };
      failure = undefined;
    } catch (error) {
      // Nobody waits any more: that the read was called off says nothing about the daemon.
      signal.throwIfAborted();
      failure = { error, failedAt: now() };
    }
  });

  const usable = () => (good && (!failure || now() - good.readAt <= maxStaleMs) ? good : undefined);

  return async (signal) => {
    const checkedAt = failure?.failedAt ?? good?.readAt ?? Number.NEGATIVE_INFINITY;
    if (!usable() || now() - checkedAt >= ttlMs) await refresh(signal);
    const latest = usable();
    if (!latest) throw failure?.error;
    return { status: latest.status, ageMs: now() - latest.readAt, failure };
  };
}

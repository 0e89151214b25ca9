import { setTimeout } from "node:timers/promises";
import { SourceError } from "./errors.ts";
import { singleFlight } from "./single-flight.ts";
import type { ReadOptions, Source } from "./source.ts";
import type { Status } from "./status.ts";

/** What is known now: a new status, the last good one and why there is none newer, or only that. */
export type Snapshot =
  | { status: Status; ageMs: number; failure: undefined }
  | { status: Status; ageMs: number; failure: { error: unknown } }
  | { status: undefined; failure: { error: unknown } };

export interface SnapshotOptions extends ReadOptions {
  /** Whether the last good status would do, should a new one take longer than `patienceMs`. */
  mayBeStale?: boolean;
}

/** How a read ended, and when: a status counts from its beginning, a failure from its end. */
type Reading = { status: Status; at: number } | { error: unknown; at: number };

/**
 * Keeps the latest status of a source.
 *
 * It is read again when it is older than `ttlMs`, by one read for all who wait. When that fails,
 * the last good one serves until it is `maxStaleMs` old, and the next try is `ttlMs` later: a daemon
 * that hangs then costs one timeout per `ttlMs`, not one per call. Callers with less time than that
 * timeout would never see its end, hence `patienceMs`.
 */
export function createStatusCache(options: {
  source: Source;
  ttlMs: number;
  maxStaleMs: number;
  patienceMs: number;
  now: () => number;
}): (options?: SnapshotOptions) => Promise<Snapshot> {
  const { source, ttlMs, maxStaleMs, patienceMs, now } = options;
  let latest: Reading | undefined;
  let good: { status: Status; at: number } | undefined;

  const read = singleFlight(async (signal): Promise<Reading> => {
    const at = now();
    try {
      const status = await source.read({ signal });
      signal.throwIfAborted();
      good = { status, at };
      latest = good;
    } catch (error) {
      // Nobody waits any more: that the read was called off says nothing about the daemon.
      signal.throwIfAborted();
      latest = { error, at: now() };
    }
    return latest;
  });

  async function readWithPatience(signal: AbortSignal | undefined): Promise<Reading> {
    signal?.throwIfAborted();
    const over = new AbortController();
    const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    try {
      // The read is not called off when patience ends: what it comes to is for the next caller.
      const patience = setTimeout(patienceMs, undefined, { signal: stop }).then(hung);
      return await Promise.race([read(), patience]);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      over.abort();
    }
  }

  function hung(): Reading {
    const message = `${source.name} has no new status after ${patienceMs} ms: tailscaled is starting or stuck; see its log`;
    const error = new SourceError(message, { code: "DAEMON_HUNG", source: source.name });
    return { error, at: now() };
  }

  const servable = () => (good && now() - good.at <= maxStaleMs ? good : undefined);

  return async ({ signal, mayBeStale = false } = {}) => {
    const reading =
      latest && now() - latest.at < ttlMs
        ? latest
        : await (mayBeStale && servable() ? readWithPatience(signal) : read(signal));
    if ("status" in reading) {
      return { status: reading.status, ageMs: now() - reading.at, failure: undefined };
    }
    const last = servable();
    return last
      ? { status: last.status, ageMs: now() - last.at, failure: reading }
      : { status: undefined, failure: reading };
  };
}

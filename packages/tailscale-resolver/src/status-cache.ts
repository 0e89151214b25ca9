import { setTimeout } from "node:timers/promises";
import { SourceError } from "./errors.ts";
import type { ReadOptions, Source } from "./source.ts";
import type { Status } from "./status.ts";

/**
 * The current knowledge: a new status, or the last good one with the reason why there is no newer
 * one, or only that reason.
 */
export type Snapshot =
  | { status: Status; ageMs: number; failure: undefined }
  | { status: Status; ageMs: number; failure: { error: unknown } }
  | { status: undefined; failure: { error: unknown } };

export interface SnapshotOptions extends ReadOptions {
  /**
   * Whether the caller accepts the last good status when a new one takes longer than `patienceMs`.
   */
  mayBeStale?: boolean;
}

/**
 * The result of a read and its time: a status counts from the start of the read, a failure from its
 * end.
 */
type Reading = { status: Status; at: number } | { error: unknown; at: number };

/**
 * Keeps the latest status of a source.
 *
 * A status older than `ttlMs` is read again, by one read for all waiting callers. When the read
 * fails, the last good status is used until it is `maxStaleMs` old, and the next read starts
 * `ttlMs` later. So a hung daemon costs one timeout per `ttlMs` and not one per call. `patienceMs`
 * serves callers whose own time ends before that timeout.
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
      // No caller waits any more. An aborted read says nothing about the daemon.
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
      // The read continues after `patienceMs`: its result is for the next caller.
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

/**
 * Shares one run of a task among all callers during the run.
 *
 * A caller can leave alone. The task is aborted when the last caller has left.
 */
export function singleFlight<T>(
  task: (signal: AbortSignal) => Promise<T>,
): (signal?: AbortSignal) => Promise<T> {
  let flight: { result: Promise<T>; controller: AbortController; waiting: number } | undefined;

  const start = () => {
    const controller = new AbortController();
    return { result: task(controller.signal), controller, waiting: 0 };
  };

  return async (signal) => {
    signal?.throwIfAborted();
    flight ??= start();
    const mine = flight;
    mine.waiting += 1;
    try {
      return await orAborted(mine.result, signal);
    } finally {
      mine.waiting -= 1;
      if (mine.waiting === 0) {
        flight = undefined;
        mine.controller.abort();
      }
    }
  };
}

function orAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return result;
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    void result.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

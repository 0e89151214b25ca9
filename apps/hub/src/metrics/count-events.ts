import type { QueueEvent } from "@loom/queue";
import { type Log, repeat } from "@loom/worker";
import { LRUCache } from "lru-cache";
import type { Faults } from "../control/faults.ts";
import type { EventFeed } from "../stream/event-feed.ts";
import type { Metrics } from "./metrics.ts";

/** How many jobs have their last change remembered. Evicted jobs are not measured. */
const MAX_JOBS = 20_000;

/** The states in which a job waits for a node. Its waiting time begins there. */
const READY: ReadonlySet<string | null> = new Set(["waiting", "pending"]);

/**
 * Creates the function that counts events and measures the time between two events of a job. Both times are
 * the database's, so no two clocks are compared.
 */
export function createEventCounter(metrics: Metrics): (event: QueueEvent) => void {
  const changes = new LRUCache<number, Date>({ max: MAX_JOBS });

  /** Observes the seconds since the job's last change, and remembers this one. */
  function measure({ jobId, at }: QueueEvent, observe: (seconds: number) => void): void {
    if (jobId === null) return;
    const before = changes.get(jobId);
    changes.set(jobId, at);
    if (before) observe(Math.max(0, at.getTime() - before.getTime()) / 1_000);
  }

  return (event) => {
    const { type, runId, jobId, state } = event;
    const node = event.node ?? "";
    switch (type) {
      case "job.created":
        // A single job may be due much later.
        return runId !== null && READY.has(state) ? remember(event) : undefined;
      case "job.ready":
        return remember(event);
      case "job.offered":
        return measure(event, (seconds) => metrics.placement.observe(seconds));
      case "job.claimed":
        return measure(event, (seconds) => metrics.claim.observe({ node }, seconds));
      case "job.settled":
        measure(event, (seconds) => metrics.attempt.observe({ node }, seconds));
        metrics.attempts.inc({ node, state: state ?? "" });
        // A next attempt begins after a retry delay, which is no waiting time.
        return forget(jobId);
      case "job.requeued":
        metrics.leaseLosses.inc({ node });
        return READY.has(state) ? remember(event) : forget(jobId);
      case "job.offer_expired":
        metrics.expiredOffers.inc({ node });
        return remember(event);
      case "job.declined":
        return remember(event);
      case "job.cancelled":
      case "job.expired":
      case "job.refused":
      case "job.skipped":
        return forget(jobId);
      case "node.dead":
        return metrics.deadNodes.inc({ node });
      case "node.settle_refused":
        return metrics.fenceRejections.inc({ node });
      case "run.finished":
        return metrics.runs.inc({ status: state ?? "" });
    }
  };

  function remember({ jobId, at }: QueueEvent): void {
    if (jobId !== null) changes.set(jobId, at);
  }

  function forget(jobId: number | null): void {
    if (jobId !== null) changes.delete(jobId);
  }
}

/** How long one wait for events lasts. */
const WAIT_MS = 60_000;

/**
 * Calls `onEvent` with every event from now on, until the signal aborts. It shares the reader of the streams.
 * Events from while the database was unavailable follow when it is back.
 */
export function followEvents(
  {
    feed,
    onEvent,
    faults,
    log,
  }: { feed: EventFeed; onEvent: (event: QueueEvent) => void; faults: Faults; log: Log },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let after: string | undefined;

  async function listen(): Promise<void> {
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    try {
      const { position, next } = await feed.subscribe({
        after,
        matches: () => true,
        onLost: () => lost.abort(),
        signal: over,
      });
      after ??= position;
      while (!over.aborted) {
        const events = await next(WAIT_MS);
        if (typeof events === "string") {
          log.warn({}, "more happened than can be counted");
          after = position;
          continue;
        }
        for (const event of events) {
          const item = { loop: "events", subject: event.type };
          await faults.isolate(item, () => onEvent(event));
        }
        after = events.at(-1)?.cursor ?? after;
      }
    } finally {
      lost.abort();
    }
  }

  return repeat({ round: listen, pause: async () => {} }, { signal, log });
}

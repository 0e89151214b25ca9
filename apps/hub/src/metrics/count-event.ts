import type { QueueEvent } from "@loom/queue";
import type { Metrics } from "./metrics.ts";

/** Jobs whose last change is remembered; of more, the oldest are forgotten and not measured. */
const MAX_JOBS = 20_000;

/** Its time begins when a node may be sought, or asked, for it. */
const READY: ReadonlySet<string | null> = new Set(["waiting", "pending"]);

/**
 * Makes what counts events, and measures from one event of a job to the next. Both instants are the
 * database's: no clock is compared with another.
 */
export function createEventCounter(metrics: Metrics): (event: QueueEvent) => void {
  const changes = new Map<number, Date>();

  /** Seconds since the job's last change, which this one takes the place of. */
  function next({ jobId, at }: QueueEvent, observe: (seconds: number) => void): void {
    if (jobId === null) return;
    const before = changes.get(jobId);
    remember(jobId, at);
    if (before) observe(Math.max(0, at.getTime() - before.getTime()) / 1_000);
  }

  function remember(jobId: number, at: Date): void {
    changes.delete(jobId);
    changes.set(jobId, at);
    if (changes.size <= MAX_JOBS) return;
    const [oldest] = changes.keys();
    if (oldest !== undefined) changes.delete(oldest);
  }

  return (event) => {
    const { type, runId, jobId, state } = event;
    const node = event.node ?? "";
    switch (type) {
      case "job.created":
        // A job of its own may be due much later.
        if (jobId !== null && runId !== null && READY.has(state)) remember(jobId, event.at);
        return;
      case "job.ready":
        if (jobId !== null) remember(jobId, event.at);
        return;
      case "job.offered":
        return next(event, (seconds) => metrics.placement.observe(seconds));
      case "job.claimed":
        return next(event, (seconds) => metrics.claim.observe({ node }, seconds));
      case "job.settled":
        next(event, (seconds) => metrics.attempt.observe({ node }, seconds));
        metrics.attempts.inc({ node, state: state ?? "" });
        // What goes on does so after a delay that nobody has to account for.
        return forget(jobId);
      case "job.requeued":
        metrics.leaseLosses.inc({ node });
        return READY.has(state) && jobId !== null ? remember(jobId, event.at) : forget(jobId);
      case "job.offer_expired":
        metrics.expiredOffers.inc({ node });
        return jobId === null ? undefined : remember(jobId, event.at);
      case "job.declined":
        return jobId === null ? undefined : remember(jobId, event.at);
      case "job.cancelled":
      case "job.expired":
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

  function forget(jobId: number | null): void {
    if (jobId !== null) changes.delete(jobId);
  }
}

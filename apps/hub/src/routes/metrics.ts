import type { Queue } from "@loom/queue";
import type { Log } from "@loom/worker";
import { Hono } from "hono";
import type { EventFeed } from "../events/event-feed.ts";
import type { HubEnv } from "../hub-context.ts";
import { createEventCounter } from "../metrics/count-event.ts";
import { followEvents } from "../metrics/follow-events.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { sampleQueue } from "../metrics/sample-queue.ts";
import { requireScope } from "../operation.ts";

/**
 * `/metrics` for Prometheus. Needs the scope `read`: it names nodes and what is required of them.
 *
 * Events are counted from the first scrape on, so a hub that nobody scrapes reads none for it.
 */
export function metricsRoutes({
  queue,
  feed,
  metrics,
  log,
  stopping,
}: {
  queue: Queue;
  feed: EventFeed;
  metrics: Metrics;
  log: Log;
  stopping: AbortSignal;
}) {
  let isFollowing = false;
  function follow(): void {
    if (isFollowing) return;
    isFollowing = true;
    const onEvent = createEventCounter(metrics);
    followEvents({ feed, onEvent, log }, { signal: stopping }).catch((error: unknown) => {
      isFollowing = false;
      log.error({ err: error }, "events are not counted until the next scrape");
    });
  }

  return new Hono<HubEnv>().get("/metrics", requireScope("getMetrics", "read"), async (c) => {
    follow();
    await sampleQueue(queue, metrics);
    const { user, system } = process.cpuUsage();
    metrics.cpu.set((user + system) / 1e6);
    metrics.memory.set(process.memoryUsage.rss());
    metrics.streams.set(feed.size);
    const { registry } = metrics;
    return c.body(await registry.metrics(), 200, { "content-type": registry.contentType });
  });
}

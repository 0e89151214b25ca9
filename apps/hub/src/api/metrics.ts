import { type HubEnv, requireScope } from "@loom/http";
import { Hono } from "hono";
import type { HubContext } from "../hub-context.ts";
import { createEventCounter, followEvents } from "../metrics/count-events.ts";
import { sampleQueue } from "../metrics/sample-queue.ts";

/**
 * `/metrics` for Prometheus. Needs the scope `read`, because it names nodes and requirements.
 *
 * Events are counted from the first scrape on, so a hub without scrapes does not read them.
 */
export function metricsRoutes({ queue, feed, faults, metrics, log, stopping }: HubContext) {
  let isFollowing = false;
  function follow(): void {
    if (isFollowing) return;
    isFollowing = true;
    const onEvent = createEventCounter(metrics);
    followEvents({ feed, onEvent, faults, log }, { signal: stopping }).catch((error: unknown) => {
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

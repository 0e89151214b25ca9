import type { Queue } from "@loom/queue";
import { answerWithin } from "../answer-within.ts";
import type { Metrics } from "./metrics.ts";

/** Prometheus times a scrape out after 10 s, and would not learn that the database is down. */
const TIMEOUT_MS = 5_000;

/** Reads the state of the queue and sets the gauges of it. */
export async function sampleQueue(
  queue: Pick<Queue, "queueDepth" | "listNodes">,
  metrics: Metrics,
): Promise<void> {
  const sampled = await answerWithin(
    TIMEOUT_MS,
    Promise.all([queue.queueDepth(), queue.listNodes()]),
  ).catch(() => undefined);
  // A removed node or requirement loses its value, and all do while the database is unavailable.
  for (const gauge of [
    metrics.waitingJobs,
    metrics.waitingOldest,
    metrics.offeredJobs,
    metrics.offeredOldest,
    metrics.nodeOnline,
    metrics.nodeSeen,
    metrics.nodeSlots,
    metrics.nodeRunning,
  ]) {
    gauge.reset();
  }
  metrics.databaseUp.set(sampled ? 1 : 0);
  if (!sampled) return;
  const [{ waiting, offered, more }, nodes] = sampled;
  metrics.leftOut.set(more ? 1 : 0);
  for (const { requires, jobs, oldestMs } of waiting) {
    const labels = { requires: requires.join(" ") || "nothing" };
    metrics.waitingJobs.set(labels, jobs);
    metrics.waitingOldest.set(labels, oldestMs / 1_000);
  }
  for (const { node, jobs, oldestMs } of offered) {
    metrics.offeredJobs.set({ node }, jobs);
    metrics.offeredOldest.set({ node }, oldestMs / 1_000);
  }
  for (const { name: node, online, lastSeenMs, slots, running } of nodes) {
    metrics.nodeOnline.set({ node }, online ? 1 : 0);
    if (lastSeenMs !== null) metrics.nodeSeen.set({ node }, lastSeenMs / 1_000);
    metrics.nodeSlots.set({ node }, slots);
    metrics.nodeRunning.set({ node }, running);
  }
}

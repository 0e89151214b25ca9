import { Counter, Gauge, Histogram, Registry } from "@prometheus-io/client";
import type { MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import { version } from "../version.ts";

/** Buckets in seconds, for waits between 10 ms and a night. */
const WAITS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];
/** Buckets in seconds, for HTTP responses. */
const RESPONSES = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** The metrics that a hub exposes to Prometheus. */
export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Creates the metrics of one hub, in a registry of its own.
 *
 * Labels are node names, routes and outcomes, never ids. docs/metrics.md describes each metric and its source.
 */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const gauge = <Label extends string = never>(name: string, help: string, labels: Label[] = []) =>
    new Gauge<Label>({ name, help, labelNames: labels, registers });
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labels: Label[] = [],
  ) => new Counter<Label>({ name, help, labelNames: labels, registers });
  const histogram = <Label extends string = never>(
    name: string,
    help: string,
    { labels = [], buckets = WAITS }: { labels?: Label[]; buckets?: number[] } = {},
  ) => new Histogram<Label>({ name, help, labelNames: labels, buckets, registers });

  gauge("loom_hub_info", "The hub's version", ["version"]).set({ version }, 1);
  gauge("process_start_time_seconds", "When the hub was started").set(
    Date.now() / 1_000 - process.uptime(),
  );

  return {
    registry,
    memory: gauge("process_resident_memory_bytes", "The hub's memory"),
    cpu: gauge("process_cpu_seconds_total", "Processor time that the hub took"),
    http: histogram("loom_http_request_seconds", "Until a request's answer began", {
      labels: ["method", "route", "status"],
      buckets: RESPONSES,
    }),
    slots: counter("loom_schedule_slots_total", "Slots that this hub decided as the leader", [
      "schedule",
      "decision",
    ]),
    faults: counter("loom_hub_faults_total", "Items that failed while the others went on", [
      "loop",
    ]),
    wakes: counter("loom_wakes_total", "Nodes woken", ["result"]),
    joins: counter("loom_joins_total", "Machines that asked to join, by outcome", ["result"]),
    deliveries: counter("loom_hook_attempts_total", "Attempts to send a message, by outcome", [
      "outcome",
    ]),
    streams: gauge("loom_event_listeners", "Streams of events that are open"),

    databaseUp: gauge("loom_database_up", "1 when the database answered this scrape"),
    waitingJobs: gauge("loom_waiting_jobs", "Due jobs without a node", ["requires"]),
    waitingOldest: gauge("loom_waiting_oldest_seconds", "How long the first has been due", [
      "requires",
    ]),
    offeredJobs: gauge("loom_offered_jobs", "Due jobs that the node has not claimed", ["node"]),
    offeredOldest: gauge("loom_offered_oldest_seconds", "How long the first has been due", [
      "node",
    ]),
    leftOut: gauge("loom_queue_left_out", "1 when there are more kinds of need than are shown"),
    nodeOnline: gauge("loom_node_online", "1 while the node's lease holds", ["node"]),
    nodeSeen: gauge("loom_node_last_seen_seconds", "Since the node's last heartbeat", ["node"]),
    nodeSlots: gauge("loom_node_slots", "Steps that the node runs at a time", ["node"]),
    nodeRunning: gauge("loom_node_running_jobs", "Steps that the node runs", ["node"]),

    placement: histogram("loom_placement_seconds", "From ready to offered to a node"),
    claim: histogram("loom_claim_seconds", "From offered, or ready where pinned, to claimed", {
      labels: ["node"],
    }),
    start: histogram("loom_start_seconds", "From claimed to the first line of the step's code", {
      labels: ["node"],
    }),
    attempt: histogram("loom_attempt_seconds", "From claimed to settled", { labels: ["node"] }),
    attempts: counter(
      "loom_attempts_total",
      "Attempts that were settled, by what the job is then",
      ["node", "state"],
    ),
    runs: counter("loom_runs_finished_total", "Runs that ended", ["status"]),
    leaseLosses: counter("loom_lease_losses_total", "Attempts taken from a node that was lost", [
      "node",
    ]),
    deadNodes: counter("loom_node_deaths_total", "Leases that ended unrenewed", ["node"]),
    fenceRejections: counter("loom_fence_rejections_total", "Outcomes that came too late", [
      "node",
    ]),
    expiredOffers: counter("loom_offers_expired_total", "Offers not claimed in time", ["node"]),
  };
}

/** Measures the time until each response begins, by route. Labels name neither callers nor resources. */
export const measureHttp =
  ({ http }: Metrics): MiddlewareHandler =>
  async (c, next) => {
    const began = performance.now();
    await next();
    const route = matchedRoutes(c).findLast(({ method }) => method === c.req.method)?.path;
    http.observe(
      // A caller can send any number of invented method names, so those share one label.
      { method: route ? c.req.method : "other", route: route ?? "none", status: c.res.status },
      (performance.now() - began) / 1_000,
    );
  };

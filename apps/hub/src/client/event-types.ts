import type { Event } from "./shapes.ts";

// A record, so that a type that is missing here, or is none, does not compile.
const all: Record<Event["type"], true> = {
  "run.started": true,
  "run.finished": true,
  "job.created": true,
  "job.ready": true,
  "job.waiting": true,
  "job.offered": true,
  "job.offer_expired": true,
  "job.declined": true,
  "job.claimed": true,
  "job.settled": true,
  "job.requeued": true,
  "job.cancel_requested": true,
  "job.cancelled": true,
  "job.expired": true,
  "job.skipped": true,
  "node.hello": true,
  "node.dead": true,
  "node.paused": true,
  "node.draining": true,
  "node.resumed": true,
  "node.settle_refused": true,
  "workflow.paused": true,
  "workflow.resumed": true,
  "schedule.paused": true,
  "schedule.resumed": true,
  "request.done": true,
};

/** Every type of event that a stream tells: a browser's `EventSource` listens to each by its name. */
export const eventTypes = Object.keys(all) as readonly Event["type"][];

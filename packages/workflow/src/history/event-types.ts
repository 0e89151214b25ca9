/**
 * Every type of event. `job.*` carry a job, `run.*` a run, `node.*` a node; `workflow.*` and `schedule.*` name theirs in
 * `detail`.
 *
 * The list stands here because the queue, which writes events, and the client, which reads them in a browser, share no
 * other package. A browser's `EventSource` needs a listener for each name.
 */
export const eventTypes = [
  "run.started",
  "run.finished",
  "job.created",
  "job.ready",
  "job.suspended",
  "job.resumed",
  "job.woken",
  "job.waiting",
  "job.offered",
  "job.offer_expired",
  "job.declined",
  "job.claimed",
  "job.settled",
  "job.requeued",
  "job.cancel_requested",
  "job.cancelled",
  "job.expired",
  "job.mapped",
  "job.refused",
  "job.skipped",
  "node.hello",
  "node.dead",
  "node.paused",
  "node.draining",
  "node.resumed",
  "node.settle_refused",
  "node.joined",
  "node.key_revoked",
  "node.removed",
  "node.offers_asked",
  "node.offers_allowed",
  "node.offers_forbidden",
  "workflow.paused",
  "workflow.resumed",
  "schedule.paused",
  "schedule.resumed",
  "schedule.refused",
  "schedule.rewound",
  "request.done",
] as const;

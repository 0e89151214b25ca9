import type { QueueEvent } from "@loom/queue";

/** One way to spoil a history: which events it can be done to, and what becomes of the whole. */
export interface Corruption {
  title: string;
  suits: (event: QueueEvent, events: readonly QueueEvent[]) => boolean;
  /** What takes the event's place. */
  become: (event: QueueEvent, events: readonly QueueEvent[]) => QueueEvent[];
}

const FINAL = ["succeeded", "failed", "cancelled", "skipped"];
const OWNED = ["job.claimed", "job.settled", "job.requeued"];

const isBeforeClaim = (event: QueueEvent, events: readonly QueueEvent[]) => {
  const next = events.find(({ jobId, seq }) => jobId === event.jobId && seq > event.seq);
  return next?.type === "job.claimed";
};
const lastOf = (event: QueueEvent, events: readonly QueueEvent[], type: QueueEvent["type"]) =>
  events.findLast((each) => each.type === type && each.jobId === event.jobId);

/** Numbered half a step later, which is between two events. */
const after = (event: QueueEvent): QueueEvent => ({ ...event, seq: event.seq + 0.5 });

export const CORRUPTIONS: readonly Corruption[] = [
  {
    title: "a lost event",
    // An offer, its return or a request may have no consequence. The checker misses it only if it had one.
    suits: (event, events) =>
      [...OWNED, "job.created", "job.ready", "run.started", "run.finished"].includes(event.type) ||
      (event.jobId !== null && FINAL.includes(event.state ?? "")) ||
      (event.type === "job.offered" && isBeforeClaim(event, events)),
    become: () => [],
  },
  {
    title: "an event that is there twice",
    suits: () => true,
    become: (event) => [event, event],
  },
  {
    title: "a settle that is recorded twice",
    suits: ({ type }) => type === "job.settled",
    become: (event) => [event, after(event)],
  },
  {
    title: "a late settle of a job that has ended",
    suits: ({ jobId, state, type }, events) =>
      jobId !== null &&
      type !== "job.settled" &&
      FINAL.includes(state ?? "") &&
      events.some((each) => each.jobId === jobId && each.type === "job.claimed"),
    become: (event, events) => {
      const { node, fence } = lastOf(event, events, "job.claimed") ?? event;
      const late = { type: "job.settled", state: "succeeded", detail: "salvaged" } as const;
      return [event, after({ ...event, ...late, node, fence })];
    },
  },
  {
    title: "a fence that is too low",
    suits: ({ type }) => OWNED.includes(type),
    become: (event) => [{ ...event, fence: (event.fence ?? 0) - 1 }],
  },
  {
    title: "another node",
    suits: ({ type }) => OWNED.includes(type),
    become: (event) => [{ ...event, node: event.node === "forge" ? "oracle" : "forge" }],
  },
  {
    title: "a claim under an older epoch",
    suits: ({ type }) => type === "job.claimed",
    become: (event) => [{ ...event, epoch: (event.epoch ?? 0) - 1 }],
  },
  {
    title: "an epoch that falls",
    suits: ({ type, node, seq }, events) =>
      type === "node.hello" && events.some((each) => each.node === node && each.seq < seq),
    become: (event) => [{ ...event, epoch: 0 }],
  },
  {
    title: "a second owner while the first one works",
    suits: ({ type }) => type === "job.claimed",
    become: (event) => [event, after({ ...event, fence: (event.fence ?? 0) + 1 })],
  },
  {
    title: "a claim before the offer",
    suits: (event, events) => event.type === "job.offered" && isBeforeClaim(event, events),
    become: (event, events) => {
      const claim = events.find(
        ({ jobId, seq, type }) =>
          jobId === event.jobId && seq > event.seq && type === "job.claimed",
      );
      return [{ ...event, seq: (claim?.seq ?? 0) + 0.5 }];
    },
  },
  {
    title: "a job that is given back while its node lives",
    suits: ({ type }) => type === "job.claimed",
    become: (event) => [
      event,
      after({ ...event, type: "job.requeued", state: "waiting", epoch: null }),
    ],
  },
  {
    title: "a run with another status",
    suits: ({ type }) => type === "run.finished",
    become: (event) => [{ ...event, state: event.state === "failed" ? "succeeded" : "failed" }],
  },
  {
    title: "a run that finishes twice",
    suits: ({ type }) => type === "run.finished",
    become: (event) => [event, after(event)],
  },
  {
    title: "a step that is ready before its needs",
    suits: ({ type }) => type === "job.ready",
    become: (event, events) => {
      const birth = lastOf(event, events, "job.created");
      return [{ ...event, seq: (birth?.seq ?? 0) + 0.5, cursor: "0.0" }];
    },
  },
];

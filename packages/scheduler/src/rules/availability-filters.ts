import type { JobView } from "../views.ts";
import { anyJob, type Filter, fits, refuses } from "./rule.ts";

/** Accepts nodes that report. */
export const isOnline: Filter = {
  name: "is-online",
  about: "availability",
  key: anyJob,
  check: (_job, { online, lastSeenMs }) =>
    online ? fits : refuses("offline", `is offline (${lastSeen(lastSeenMs)})`),
  fix: (_job, { name }) => ({ action: `start the agent of ${name}`, node: { online: true } }),
};

const UNITS = [
  { unit: "d", ms: 86_400_000 },
  { unit: "h", ms: 3_600_000 },
  { unit: "min", ms: 60_000 },
];

/** Returns the age in its largest whole unit. */
function lastSeen(ageMs: number | null): string {
  if (ageMs === null) return "never seen";
  const { unit, ms } = UNITS.find((each) => ageMs >= each.ms) ?? { unit: "s", ms: 1_000 };
  return `last seen ${Math.floor(ageMs / ms)} ${unit} ago`;
}

/** Refuses nodes that are paused. */
export const notPaused: Filter = {
  name: "not-paused",
  about: "availability",
  key: anyJob,
  check: (_job, { status }) => (status === "paused" ? refuses("paused", "is paused") : fits),
  fix: (_job, { name }) => ({ action: `resume ${name}`, node: { status: "active" } }),
};

/** Refuses nodes that finish their work before they leave. */
export const notDraining: Filter = {
  name: "not-draining",
  about: "availability",
  key: anyJob,
  check: (_job, { status }) => (status === "draining" ? refuses("draining", "is draining") : fits),
  fix: (_job, { name }) => ({ action: `resume ${name}`, node: { status: "active" } }),
};

/** Accepts nodes with a free slot. */
export const hasFreeSlot: Filter = {
  name: "has-free-slot",
  about: "availability",
  key: anyJob,
  check: (_job, { slots, busy }) =>
    busy < slots ? fits : refuses("full", `is full (${busy}/${slots} slots)`),
  fix: (_job, { name, busy }) => ({
    action: `wait for a slot of ${name}, or give it more slots`,
    node: { slots: busy + 1 },
  }),
};

/** Refuses every node while the concurrency key of a job is at its limit. */
export const belowLimit: Filter = {
  name: "below-limit",
  about: "availability",
  key: (job) => (job.concurrency ? `${shareOf(job)} of ${job.concurrency.key}` : ""),
  named: () => [],
  check: (job) => {
    const { concurrency } = job;
    if (!concurrency || (concurrency.running ?? 0) < concurrency.limit) return fits;
    return refuses(
      "concurrency_limit",
      `may not run a further job of ${concurrency.key} (${shareOf(job)} run)`,
    );
  },
  fix: ({ concurrency }) =>
    concurrency
      ? {
          action: `wait for a job of ${concurrency.key} to end, or raise its limit`,
          job: { concurrency: { ...concurrency, limit: (concurrency.running ?? 0) + 1 } },
        }
      : undefined,
};

const shareOf = ({ concurrency }: JobView): string =>
  `${concurrency?.running ?? 0}/${concurrency?.limit}`;

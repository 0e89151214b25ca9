import { anyJob, type Filter, fits, refuses } from "../rule.ts";

/** Keeps nodes that are in touch. */
export const isOnline: Filter = {
  name: "is-online",
  about: "availability",
  key: anyJob,
  check: (_job, { online, lastSeenMs }) =>
    online ? fits : refuses("offline", `is offline (${lastSeen(lastSeenMs)})`),
  mend: (_job, { name }) => ({ action: `start the agent of ${name}`, node: { online: true } }),
};

const UNITS = [
  { unit: "d", ms: 86_400_000 },
  { unit: "h", ms: 3_600_000 },
  { unit: "min", ms: 60_000 },
];

/** The age in its largest whole unit. */
function lastSeen(ageMs: number | null): string {
  if (ageMs === null) return "never seen";
  const { unit, ms } = UNITS.find((each) => ageMs >= each.ms) ?? { unit: "s", ms: 1_000 };
  return `last seen ${Math.floor(ageMs / ms)} ${unit} ago`;
}

import { anyJob, type Filter, fits, refuses } from "../rule.ts";

/** Keeps nodes that nobody has paused. */
export const notPaused: Filter = {
  name: "not-paused",
  about: "availability",
  key: anyJob,
  check: (_job, { status }) => (status === "paused" ? refuses("paused", "is paused") : fits),
  mend: (_job, { name }) => ({ action: `resume ${name}`, node: { status: "active" } }),
};

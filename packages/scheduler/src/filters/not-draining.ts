import { anyJob, type Filter, fits, refuses } from "../rule.ts";

/** Keeps nodes that are not finishing their work before going away. */
export const notDraining: Filter = {
  name: "not-draining",
  about: "availability",
  key: anyJob,
  check: (_job, { status }) => (status === "draining" ? refuses("draining", "is draining") : fits),
  mend: (_job, { name }) => ({ action: `resume ${name}`, node: { status: "active" } }),
};

import { anyJob, type Filter, fits, refuses } from "../rule.ts";

/** Keeps nodes with a slot to spare. */
export const hasFreeSlot: Filter = {
  name: "has-free-slot",
  about: "availability",
  key: anyJob,
  check: (_job, { slots, busy }) =>
    busy < slots ? fits : refuses("full", `is full (${busy}/${slots} slots)`),
  mend: (_job, { name, busy }) => ({
    action: `wait for a slot of ${name}, or give it more`,
    node: { slots: busy + 1 },
  }),
};

import { type Filter, fits } from "../filter.ts";

/** Keeps nodes with a slot to spare. */
export const hasFreeSlot: Filter = {
  name: "has-free-slot",
  about: "availability",
  check: (_step, { slots, busy }) =>
    busy < slots ? fits : { fits: false, code: "full", reason: `is full (${busy}/${slots} slots)` },
};

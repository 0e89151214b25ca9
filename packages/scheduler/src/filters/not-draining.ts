import { type Filter, fits } from "../filter.ts";

/** Keeps nodes that are not finishing their work before going away. */
export const notDraining: Filter = {
  name: "not-draining",
  about: "availability",
  check: (_step, { status }) =>
    status === "draining" ? { fits: false, code: "draining", reason: "is draining" } : fits,
};

import { type Filter, fits } from "../filter.ts";

/** Keeps nodes that nobody has paused. */
export const notPaused: Filter = {
  name: "not-paused",
  about: "availability",
  check: (_step, { status }) =>
    status === "paused" ? { fits: false, code: "paused", reason: "is paused" } : fits,
};

import type { Log } from "@loom/worker";

/** A log that says nothing: what is measured is not how fast lines are written. */
export const quiet: Log & ReturnType<Log["child"]> = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => quiet,
};

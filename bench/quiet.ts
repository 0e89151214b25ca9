import type { Log } from "@loom/worker";

/** A log that discards everything, so that measurements do not include writing lines. */
export const quiet: Log & ReturnType<Log["child"]> = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => quiet,
};

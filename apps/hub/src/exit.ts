import { createToExit } from "@loom/program";

// sysexits.h: wrong usage, wrong configuration.
export const EX_USAGE = 64;
const EX_CONFIG = 78;

/** The command was written wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "USAGE";
}

/** How the hub ends for an error. */
export const toExit = createToExit({
  program: "loom-hub",
  codes: {
    USAGE: EX_USAGE,
    ENV: EX_CONFIG,
    // The agent's code for the same.
    NODE_NAME_IN_USE: 6,
    QUEUE_ACCESS: 1,
    QUEUE_SCHEMA: 1,
    SUPERSEDED: 1,
    LISTEN: 1,
    MIGRATION: 1,
    SERVICE: 1,
    EMBEDDED: 1,
    BACKUP: 1,
    PLATFORM: 1,
    DATA_DIR_IN_USE: 1,
    DATA_DIR_UNREACHABLE: 1,
    DATA_DIR_VERSION: 1,
    PROJECT: 1,
  },
  refused: 1,
  hints: {
    QUEUE_ACCESS: "check that SUPABASE_SECRET_KEY belongs to the project at SUPABASE_URL",
  },
});

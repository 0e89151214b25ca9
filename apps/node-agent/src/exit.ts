import { createToExit, type Exit } from "@loom/program";
import { NodeNameInUseError } from "@loom/queue";
import { JoinError } from "./errors.ts";

/** A hub's refusal has a code of the hub's, which the message ends with: a person can look it up. */
export const toExit = (error: unknown): Exit =>
  error instanceof JoinError
    ? { code: JOIN_EXITS[error.code] ?? 5, message: `loom-agent: ${error.message} [${error.code}]` }
    : toKnownExit(error);

const JOIN_EXITS: Readonly<Record<string, number>> = {
  JOIN_TOKEN_REFUSED: 4,
  JOIN_TOKEN_REQUIRED: 4,
  JOIN_TOKEN_WRONG_NODE: 4,
  NODE_NAME_IN_USE: 6,
  HUB_AWAY: 8,
};

/** How the agent ends for an error. */
const toKnownExit = createToExit({
  program: "loom-agent",
  codes: {
    USAGE: 2,
    ENV: 2,
    NO_AGENT: 3,
    NODE_NOT_FOUND: 3,
    QUEUE_ACCESS: 4,
    QUEUE_SCHEMA: 5,
    SUPERSEDED: 5,
    PRECONDITION: 5,
    SERVICE: 5,
    JOURNAL_UNWRITABLE: 5,
    // Where an agent of this machine ended lately under another state folder, its name becomes free: the
    // service tries again.
    NODE_NAME_IN_USE: (error) =>
      error instanceof NodeNameInUseError && error.heldBy.isHere ? 5 : 6,
    QUEUE_UNAVAILABLE: 8,
  },
  refused: 5,
  hints: {
    QUEUE_ACCESS: "check that LOOM_NODE_KEY was made for this node, in the project at SUPABASE_URL",
  },
});

/** One way for the program to end, a row of the table in docs/cli.md. */
export interface ExitCode {
  readonly exit: number;
  readonly meaning: string;
  /** Codes of errors that end so: the program's own, and of the hub's those that people meet. */
  readonly errors: readonly string[];
}

/**
 * How the program ends. Scripts branch on these numbers, so they are stable. Codes of the hub that are
 * not listed end by their HTTP status, see {@link exitOf}.
 */
export const exitCodes: readonly ExitCode[] = [
  { exit: 0, meaning: "done; with `--wait` or `--follow`: the run succeeded", errors: [] },
  {
    exit: 1,
    meaning: "a fault of Loom; `doctor` and `check` found something; a message did not arrive",
    errors: ["FAULT", "INTERNAL", "FILE_DIGEST_MISMATCH"],
  },
  {
    exit: 2,
    meaning: "the command line, the input or the settings cannot be used",
    errors: [
      "USAGE",
      "NO_HUB",
      "NO_TERMINAL",
      "AMBIGUOUS_ID",
      "AMBIGUOUS_APPROVAL",
      "CONTEXTS_EXPOSED",
      "CONTEXTS_UNREADABLE",
      "FILE_UNREADABLE",
      "FILE_UNWRITABLE",
      "INVALID_INPUT",
      "INVALID_REQUEST",
    ],
  },
  {
    exit: 3,
    meaning: "there is no such thing",
    errors: [
      "UNKNOWN_CONTEXT",
      "UNKNOWN_STEP",
      "UNKNOWN_WORKFLOW",
      "APPROVAL_NOT_FOUND",
      "JOB_NOT_FOUND",
      "NODE_NOT_FOUND",
      "RUN_NOT_FOUND",
      "SCHEDULE_NOT_FOUND",
      "TOKEN_NOT_FOUND",
      "HOOK_NOT_FOUND",
      "DELIVERY_NOT_FOUND",
      "FILE_NOT_FOUND",
    ],
  },
  {
    exit: 4,
    meaning: "not allowed",
    errors: ["UNAUTHORIZED", "FORBIDDEN", "SCOPE_MISSING", "APPROVAL_NOT_YOURS"],
  },
  {
    exit: 5,
    meaning: "not possible as things are",
    errors: [
      "APPROVAL_CHANGED",
      "APPROVAL_DECIDED",
      "APPROVAL_OVER",
      "NODE_BUSY",
      "NODE_NOT_UPGRADABLE",
      "STEP_MAPS",
      "UPGRADE_UNAVAILABLE",
    ],
  },
  { exit: 6, meaning: "no known node could ever run it", errors: ["UNSATISFIABLE"] },
  { exit: 7, meaning: "the time of `--timeout` is over; the run goes on", errors: ["TIMED_OUT"] },
  {
    exit: 8,
    meaning: "no hub answers, or it cannot answer now",
    errors: ["HUB_AWAY", "NOT_A_HUB", "QUEUE_UNAVAILABLE", "RATE_LIMITED", "WORKFLOWS_LOADING"],
  },
  { exit: 10, meaning: "with `--wait` or `--follow`: the run failed", errors: [] },
  { exit: 11, meaning: "with `--wait` or `--follow`: the run was cancelled", errors: [] },
  {
    exit: 124,
    meaning: "with `exec` or `attach`: the command took longer than its `--timeout`",
    errors: [],
  },
  { exit: 125, meaning: "with `exec` or `attach`: Loom failed, and not the command", errors: [] },
  {
    exit: 126,
    meaning: "with `exec` or `attach`: the program cannot be run",
    errors: [],
  },
  { exit: 127, meaning: "with `exec` or `attach`: there is no such program", errors: [] },
  { exit: 129, meaning: "the terminal was closed (SIGHUP); a command goes on", errors: [] },
  { exit: 130, meaning: "ended by Ctrl-C (SIGINT)", errors: [] },
  {
    exit: 141,
    meaning: "the reader of the output went away (SIGPIPE), as `head` does",
    errors: [],
  },
];

/** How `exec` and `attach` end when they fail themselves: the command has the other numbers. */
export const EXEC_FAULT = 125;

/** The exit code of an error. @param status - The HTTP status, where a hub answered. */
export function exitOf(code: string, status?: number): number {
  const known = exitCodes.find(({ errors }) => errors.includes(code));
  if (known) return known.exit;
  if (status === undefined || status === 500) return 1;
  if (status === 429 || status > 500) return 8;
  return { 401: 4, 403: 4, 404: 3, 409: 5 }[status] ?? 2;
}

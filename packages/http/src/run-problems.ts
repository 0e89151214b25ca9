import { waitProblems } from "./wait-problems.ts";

/** Problems of requests about runs: to repeat one, to start a command, to end what a step waits for. A part of the table of problems. */
export const runProblems = {
  ...waitProblems,
  EXEC_NOT_SIGNED: (run: string) => ({
    status: 409,
    detail: `this hub did not sign the command of run ${run} as it is stored, and does not repeat it`,
    hint: "start the command again: loom exec",
  }),
  EXEC_ONLY_IN_RUNS: () => ({
    status: 409,
    detail: "a command runs in a run of its own, and never as a single job",
    hint: "start it with loom exec, or POST /api/loom/strands/exec/run",
  }),
  EXEC_TOKEN_UNPROVEN: (who: string) => ({
    status: 403,
    detail: `this hub did not make ${who} for the scopes that the database says, so it starts no command`,
    hint: "make a token with an older one or the bootstrap token: loom token add NAME --scope read,run,exec; hubs of one database need the same LOOM_SIGNING_KEY_FILE",
  }),
  EXEC_UNAVAILABLE: () => ({
    status: 409,
    detail: "this hub has no signing key, without which no node runs a command",
    hint: "start it with loom-hub or npm start",
  }),
  RUN_NOT_FOUND: (id: string) => ({
    status: 404,
    detail: `there is no run ${id}`,
    hint: "GET /api/loom/runs lists the stored runs; a finished run is kept for 30 days",
  }),
  INPUT_UNREADABLE: (run: string) => ({
    status: 409,
    detail: `the stored input of run ${run} cannot be read`,
    hint: "send the input with the request",
  }),
};

import { type Check, countOf } from "../check.ts";

/** A hub that places looks at every due job within seconds. */
const PATIENCE_MS = 15_000;

/** Some hub places: what is due has a node, or a reason why not. */
export const placing: Check = {
  name: "placing",
  examine: ({ jobs, placeable, database }) => {
    const ignored = jobs.filter(
      ({ id, state, waitingReason, runAt }) =>
        state === "waiting" &&
        placeable.has(id) &&
        waitingReason === null &&
        database.now.getTime() - runAt.getTime() > PATIENCE_MS,
    );
    return {
      ok: "what is due has a node, or a reason",
      findings:
        ignored.length === 0
          ? []
          : [
              {
                status: "fail" as const,
                subject: "hub",
                evidence: `nobody has looked for a node for ${countOf(ignored.length, "job")} that have been due for more than ${PATIENCE_MS / 1_000} s`,
                fix: "look at the hub's log for the loop that places, and start the hub again",
              },
            ],
    };
  },
};

import { respondProblem, toProblem } from "@loom/http";
import { type Queue, RunNotFoundError } from "@loom/queue";
import { Hono } from "hono";
import { answerWithin } from "../answer-within.ts";
import type { HubContext } from "../hub-context.ts";

/** How long one answer of the database serves all callers. */
const READY_MS = 1_000;
/** How long the database may take. A probe gives up soon, and takes that for a process that hangs. */
const PATIENCE_MS = 2_000;
const NO_RUN = "00000000-0000-0000-0000-000000000000";

/** `/healthz`: the process answers. `/readyz`: it can serve, because its database answers. */
export function healthRoutes({ queue }: Pick<HubContext, "queue">) {
  const isReady = shareFor(READY_MS, () => answerWithin(PATIENCE_MS, askDatabase(queue)));
  return new Hono()
    .get("/healthz", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      try {
        await isReady();
        return c.json({ status: "ready" });
      } catch (error) {
        return respondProblem(c, { ...toProblem(error), status: 503 });
      }
    });
}

/** Makes the cheapest call there is: one look-up in the index of runs. */
async function askDatabase(queue: Queue): Promise<void> {
  await queue.getRun(NO_RUN).catch((error: unknown) => {
    if (!(error instanceof RunNotFoundError)) throw error;
  });
}

/** Calls a function at most once in `ms`, however many callers there are: these routes need no token. */
function shareFor(ms: number, ask: () => Promise<void>): () => Promise<void> {
  let askedAt = Number.NEGATIVE_INFINITY;
  let answer: Promise<void>;
  return () => {
    if (performance.now() - askedAt >= ms) {
      askedAt = performance.now();
      answer = ask();
    }
    return answer;
  };
}

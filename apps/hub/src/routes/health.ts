import type { Queue } from "@loom/queue";
import { Hono } from "hono";
import { respondProblem, toProblem } from "../problem.ts";

/** `/healthz`: the process answers. `/readyz`: it can serve, because its database answers. */
export const healthRoutes = ({ queue }: { queue: Queue }) =>
  new Hono()
    .get("/healthz", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      try {
        await queue.listNodes();
        return c.json({ status: "ready" });
      } catch (error) {
        return respondProblem(c, { ...toProblem(error), status: 503 });
      }
    });

import { join } from "node:path";
import { createQueue, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { Agent, fetch } from "undici";
import {
  batches,
  type Engine,
  inLoops,
  LOOPS,
  type OpenEngine,
  payloadOf,
  RESULT,
  seconds,
} from "../engine.ts";

const SLOTS = 10_000;

export const loomDirect: OpenEngine = async (database) => {
  const sql = postgres(database.databaseUrl, {
    host: database.socketDir,
    max: LOOPS,
    ...clientOptions,
  });
  const queue = createPostgresQueue({ sql, timeoutMs: 60_000 });
  return engine("@loom/queue, direct", queue, () => sql.end());
};

/** To PostgREST itself: the gateway of @loom/local-db would take time of this very process. */
export const loomRest: OpenEngine = async (database) => {
  const socketPath = join(database.socketDir, `${database.name}.sock`);
  const dispatcher = new Agent({ connect: { socketPath } });
  const client = createClient("http://postgrest", database.serviceKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: ((url: string, init: object) =>
        fetch(url.replace("/rest/v1", ""), { ...init, dispatcher })) as never,
    },
  });
  const queue = createQueue({ client, timeoutMs: 60_000 });
  return engine("@loom/queue, PostgREST", queue, () => dispatcher.close());
};

/** Jobs name their node, one of `LOOPS`: nothing has to be placed. Every loop is a node. */
function engine(name: string, queue: Queue, close: () => Promise<void>): Engine {
  const nodes = Array.from({ length: LOOPS }, (_, loop) => `node-${loop}`);
  return {
    name,
    close,
    tables: ["loom_job_queue", "loom_events", "loom_node_sessions"],

    enqueue: (jobs, batch) =>
      seconds(async () => {
        for (const part of batches(jobs, batch)) {
          await queue.enqueue(
            part.map((index) => ({
              workflow: "bench",
              step: "only",
              input: payloadOf(index),
              host: nodes[index % LOOPS] ?? "",
            })),
          );
        }
      }),

    async drain(jobs, batch) {
      const sessions = await Promise.all(
        nodes.map(async (node) => {
          const incarnation = crypto.randomUUID();
          const report = { name: node, incarnation, leaseMs: 600_000, capabilities: [] };
          const { epoch } = await queue.hello({ ...report, slots: SLOTS });
          return { node, epoch, seq: 0 };
        }),
      );
      return await seconds(() =>
        inLoops(jobs, async (loop) => {
          const session = sessions[loop];
          if (!session) throw new Error("no session");
          session.seq += 1;
          const claim = await queue.claim(session, { seq: session.seq, limit: batch });
          if (claim.session !== "live") throw new Error(claim.session);
          if (claim.jobs.length === 0) return 0;
          const answers = await queue.settle(
            session.node,
            claim.jobs.map(({ id, fence }) => ({
              id,
              fence,
              outcome: "succeeded",
              result: RESULT,
            })),
          );
          return answers.filter(({ answer }) => answer === "accepted").length;
        }),
      );
    },
  };
}

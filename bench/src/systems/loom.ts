import { randomUUID } from "node:crypto";
import type { Database } from "@loom/local-db";
import { createQueue, type NewJob, type Queue, type Session } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { INPUT, inBatches, nodes, onEachNode, RESULT, type System, WORKERS } from "../system.ts";

/** What reaches the functions: a queue, and how to let go of it. */
interface Connection {
  queue: Queue;
  end(): Promise<void>;
}

export function connectDirectly({ databaseUrl, socketDir }: Database): Connection {
  // One more for the hub's placing loop.
  const sql = postgres(databaseUrl, { host: socketDir, max: WORKERS + 1 });
  return { queue: createPostgresQueue({ sql }), end: () => sql.end() };
}

function connectOverHttp({ url, serviceKey }: Database): Connection {
  const client = createClient(url, serviceKey, { auth: { persistSession: false } });
  return { queue: createQueue({ client }), end: async () => undefined };
}

export const loomDirect = loom({
  name: "loom",
  about: "`createPostgresQueue`, jobs pinned to nodes",
  connect: connectDirectly,
});

export const loomRest = loom({
  name: "loom-rest",
  about: "`createQueue`: supabase-js, gateway and PostgREST, jobs pinned to nodes",
  connect: connectOverHttp,
});

export const loomPlaced = loom({
  name: "loom-placed",
  about: "`createPostgresQueue`, jobs placed by a hub's loop while workers claim",
  connect: connectDirectly,
  isPlaced: true,
});

function loom(options: {
  name: string;
  about: string;
  connect: (database: Database) => Connection;
  isPlaced?: boolean;
}): System {
  const { name, about, connect, isPlaced = false } = options;
  return {
    name,
    about,
    async open(database) {
      const { queue, end } = connect(database);
      const workers = await Promise.all(nodes.map((node) => openWorker(queue, node)));
      return {
        enqueue: (load) =>
          inBatches(load, (size, node) => {
            const job = { ...trivialJob, ...(isPlaced ? {} : { host: node }) };
            return queue.enqueue(Array.from({ length: size }, () => job));
          }),
        async drain({ jobs, batch }) {
          let settled = 0;
          const isDone = () => settled >= jobs;
          const work = onEachNode(async (_, index) => {
            const worker = workers[index];
            for (let isIdle = false; worker && !(isPlaced ? isDone() : isIdle); ) {
              const count = await worker(batch);
              settled += count;
              isIdle = count === 0;
            }
            return 0;
          });
          await Promise.all([work, isPlaced ? placeUntil(queue, isDone) : undefined]);
          return settled;
        },
        [Symbol.asyncDispose]: end,
      };
    },
  };
}

const trivialJob: NewJob = { workflow: "bench", step: "work", input: INPUT };

/** Opens a node's session; each call of the answer claims and settles one batch. */
async function openWorker(queue: Queue, node: string): Promise<(limit: number) => Promise<number>> {
  const incarnation = randomUUID();
  const hello = { name: node, incarnation, leaseMs: 600_000, capabilities: [], slots: 10_000 };
  const session: Session = { node, epoch: (await queue.hello(hello)).epoch };
  let seq = 1;
  return async (limit) => {
    const claimed = await queue.claim(session, { seq, limit });
    if (claimed.session !== "live") throw new Error(`the session is ${claimed.session}`);
    if (claimed.jobs.length === 0) return 0;
    seq += 1;
    const answers = await queue.settle(
      node,
      claimed.jobs.map(({ id, fence }) => ({ id, fence, outcome: "succeeded", result: RESULT })),
    );
    return answers.filter(({ answer }) => answer === "accepted").length;
  };
}

/** The hub's loop: reads what waits and offers it to the nodes in turn. */
async function placeUntil(queue: Queue, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    const waiting = await queue.listWaiting({ perKind: 500 });
    const offers = waiting.map(({ id }, index) => ({
      job: id,
      node: nodes[index % nodes.length] ?? "",
      placement: { by: "bench" },
    }));
    if (offers.length > 0) await queue.place({ offers, refusals: [] });
  }
}

import { PgBoss } from "pg-boss";
import { INPUT, inBatches, onEachNode, RESULT, type System, WORKERS } from "../system.ts";

const QUEUE = "bench";

/** Its own defaults, without the background work that would only take time from it. */
export const pgBoss: System = {
  name: "pg-boss",
  about: "pg-boss 12: `insert`, `fetch` and `complete` in batches, one queue, fenced by attempt",
  async open({ databaseUrl }) {
    const boss = new PgBoss({
      connectionString: databaseUrl,
      max: WORKERS,
      supervise: false,
      schedule: false,
    });
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue(QUEUE);
    return {
      enqueue: (load) =>
        inBatches(load, (size) =>
          boss.insert(
            QUEUE,
            Array.from({ length: size }, () => ({ data: INPUT })),
          ),
        ),
      drain: ({ batch }) =>
        onEachNode(async () => {
          for (let settled = 0; ; ) {
            const jobs = await boss.fetch(QUEUE, { batchSize: batch });
            if (jobs.length === 0) return settled;
            const { affected } = await boss.complete(QUEUE, jobs, RESULT);
            settled += affected;
          }
        }),
      [Symbol.asyncDispose]: () => boss.stop({ graceful: false, close: true }),
    };
  },
};

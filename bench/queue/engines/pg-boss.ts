import { PgBoss } from "pg-boss";
import { batches, inLoops, LOOPS, type OpenEngine, payloadOf, RESULT, seconds } from "../engine.ts";

const QUEUE = "bench";

export const pgBoss: OpenEngine = async ({ socketDir, name }) => {
  const boss = new PgBoss({
    host: socketDir,
    database: name,
    user: "postgres",
    max: LOOPS,
    // Neither does maintenance while it is measured.
    supervise: false,
    schedule: false,
  });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    name: "pg-boss 12",
    tables: ["pgboss.job_common", "pgboss.job"],
    close: () => boss.stop({ graceful: false }),

    enqueue: (jobs, batch) =>
      seconds(async () => {
        for (const part of batches(jobs, batch)) {
          const rows = part.map((index) => ({ data: payloadOf(index) }));
          if (batch === 1) for (const { data } of rows) await boss.send(QUEUE, data);
          else await boss.insert(QUEUE, rows);
        }
      }),

    drain: (jobs, batch) =>
      seconds(() =>
        inLoops(jobs, async () => {
          const taken = await boss.fetch(QUEUE, { batchSize: batch });
          if (taken.length === 0) return 0;
          await boss.complete(
            QUEUE,
            taken.map(({ id }) => id),
            RESULT,
          );
          return taken.length;
        }),
      ),
  };
};

import { PgBoss } from "pg-boss";
import { batches, type EngineKind, inLoops, inputOf, LOOPS, RESULT, seconds } from "../engine.ts";

const QUEUE = "bench";

export const pgBoss: EngineKind = {
  name: "pg-boss 12",
  over: "postgres",

  async open({ socketDir, name }, input) {
    const boss = new PgBoss({
      host: socketDir,
      database: name,
      user: "postgres",
      max: LOOPS,
      // No engine runs maintenance during the measurement.
      supervise: false,
      schedule: false,
    });
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue(QUEUE);
    return {
      close: () => boss.stop({ graceful: false }),

      enqueue: (jobs, batch) =>
        seconds(async () => {
          for (const part of batches(jobs, batch)) {
            const rows = part.map((index) => ({ data: inputOf(index, input) }));
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
  },
};

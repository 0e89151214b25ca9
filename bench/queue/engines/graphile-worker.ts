import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { batches, type EngineKind, inputOf, LOOPS, seconds } from "../engine.ts";

/** 24 jobs at a time, as in its own performance test. */
const CONCURRENCY = 24;
const logger = new Logger(() => () => {});

/**
 * @param localQueue - If true, `batch` jobs are locked at once and completions are written together.
 *   If false, each job is taken and completed on its own, whatever the batch.
 */
const graphile = (localQueue: boolean): EngineKind => ({
  name: `graphile-worker 0.18${localQueue ? ", local queue" : ""}`,
  over: "postgres",
  takes: (batch) => localQueue === batch > 1,

  async open({ socketDir, name }, input) {
    const options = { host: socketDir, database: name, user: "postgres" };
    const openPool = (max: number) => {
      const pool = new pg.Pool({ ...options, max });
      const report = (error: Error) => console.error(error);
      return pool.on("error", report).on("connect", (client) => client.on("error", report));
    };
    const pgPool = openPool(CONCURRENCY + 2);
    // A pool of its own, so that adding does not compete with the workers.
    const adding = openPool(LOOPS);
    const utils = await makeWorkerUtils({ pgPool: adding, logger });
    await utils.migrate();
    return {
      async close() {
        await utils.release();
        await adding.end();
        await pgPool.end();
      },

      enqueue: (jobs, batch) =>
        seconds(async () => {
          for (const part of batches(jobs, batch)) {
            if (batch === 1) for (const i of part) await utils.addJob("only", inputOf(i, input));
            else {
              await utils.addJobs(
                part.map((index) => ({ identifier: "only", payload: inputOf(index, input) })),
              );
            }
          }
        }),

      async drain(jobs, batch) {
        let done = 0;
        const allRan = Promise.withResolvers<void>();
        const only = async () => {
          done += 1;
          if (done === jobs) allRan.resolve();
        };
        return await seconds(async () => {
          const runner = await run({
            logger,
            noHandleSignals: true,
            taskList: { only },
            pgPool,
            preset: {
              worker: {
                concurrentJobs: CONCURRENCY,
                ...(localQueue && {
                  localQueue: { size: batch },
                  completeJobBatchDelay: 0,
                  failJobBatchDelay: 0,
                }),
              },
            },
          });
          await allRan.promise;
          // Resolves when the last completions are written.
          await runner.stop();
        });
      },
    };
  },
});

export const graphileWorker = graphile(false);
export const graphileWorkerLocalQueue = graphile(true);

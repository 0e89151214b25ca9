import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { batches, LOOPS, type OpenEngine, payloadOf, seconds } from "../engine.ts";

/** As its own performance test has it: 24 jobs at a time. */
const CONCURRENCY = 24;
const logger = new Logger(() => () => {});

/**
 * @param localQueue - With it, `batch` jobs are locked at once and completions are written together;
 *   without it, each job is taken and completed on its own, whatever the batch.
 */
const graphile =
  (localQueue: boolean): OpenEngine =>
  async ({ socketDir, name }) => {
    const options = { host: socketDir, database: name, user: "postgres", max: CONCURRENCY + 2 };
    const pgPool = new pg.Pool(options);
    // Its own adders do not wait for a pool of many.
    const adding = new pg.Pool({ ...options, max: LOOPS });
    for (const pool of [pgPool, adding]) pool.on("error", (error) => console.error(error));
    const utils = await makeWorkerUtils({ pgPool: adding, logger });
    await utils.migrate();
    return {
      name: `graphile-worker 0.18${localQueue ? ", local queue" : ""}`,
      tables: ["graphile_worker._private_jobs"],
      async close() {
        await utils.release();
        await adding.end();
        await pgPool.end();
      },

      enqueue: (jobs, batch) =>
        seconds(async () => {
          for (const part of batches(jobs, batch)) {
            if (batch === 1) for (const i of part) await utils.addJob("only", payloadOf(i));
            else {
              await utils.addJobs(
                part.map((index) => ({ identifier: "only", payload: payloadOf(index) })),
              );
            }
          }
        }),

      async drain(jobs, batch) {
        if (localQueue === (batch === 1)) return null;
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
          // Returns when the last completions are written.
          await runner.stop();
        });
      },
    };
  };

export const graphileWorker = graphile(false);
export const graphileWorkerLocalQueue = graphile(true);

import { EventEmitter } from "node:events";
import { Logger, makeWorkerUtils, type Runner, run } from "graphile-worker";
import { INPUT, inBatches, type System, WORKERS } from "../system.ts";

const silent = new Logger(() => () => undefined);

/** One job a query; a completed job is deleted. */
export const graphileWorker = graphile({
  name: "graphile",
  about: "graphile-worker 0.18, one job a query (deletes what is done)",
  batches: [1],
  worker: () => ({ concurrentJobs: WORKERS }),
});

/** Jobs are fetched ahead and their completions gathered. */
export const graphileLocalQueue = graphile({
  name: "graphile-local-queue",
  about: "graphile-worker 0.18 with `localQueue` and `completeJobBatchDelay: 0` (deletes what is done)",
  worker: (batch) => ({
    concurrentJobs: process.env.CJ ? Number(process.env.CJ) : Math.max(WORKERS, batch),
    localQueue: { size: Math.max(WORKERS, batch) * Number(process.env.LQ ?? 1) },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  }),
});

function graphile(options: {
  name: string;
  about: string;
  batches?: readonly number[];
  worker: (batch: number) => GraphileConfig.WorkerOptions;
}): System {
  const { worker, ...rest } = options;
  return {
    ...rest,
    async open({ databaseUrl, sql }) {
      const shared = { connectionString: databaseUrl, logger: silent };
      const utils = await makeWorkerUtils(shared);
      await utils.migrate();
      return {
        enqueue: (load) =>
          inBatches(load, (size) =>
            utils.addJobs(
              Array.from({ length: size }, () => ({ identifier: "work", payload: INPUT })),
            ),
          ),
        async drain({ jobs, batch }) {
          const done = Promise.withResolvers<void>();
          let started = 0;
          const events = new EventEmitter();
          events.on("job:complete", () => {
            started += 1;
            if (started >= jobs) done.resolve();
          });
          const preset = { worker: { ...worker(batch), maxPoolSize: WORKERS + 1 } };
          const runner: Runner = await run({
            ...shared,
            preset,
            events,
            noHandleSignals: true,
            taskList: { work: () => undefined },
          });
          await done.promise;
          // Flushes the completions that are still being gathered.
          await runner.stop();
          const [left] = await sql`select count(*)::integer as jobs from graphile_worker.jobs`;
          return jobs - Number(left?.jobs);
        },
        [Symbol.asyncDispose]: () => utils.release(),
      };
    },
  };
}

// A graphile-worker that reports the start of each task to the parent process. Argument: a connection string.
import { Logger, type Runner, run } from "graphile-worker";

// This also happens when the parent is killed.
process.once("disconnect", () => process.exit());
const [connectionString = ""] = process.argv.slice(2);
const runner: Runner = await run({
  connectionString,
  concurrency: 1,
  // LISTEN only: a missed notification would show as a minute.
  pollInterval: 60_000,
  noHandleSignals: true,
  logger: new Logger(() => () => {}),
  taskList: {
    tell: async () => void process.send?.({ began: String(process.hrtime.bigint()) }),
  },
});
process.send?.({ ready: true });
await runner.promise;
